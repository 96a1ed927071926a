//! Bytes on their way to the peer. Empty it holds no memory, and a reader that always lags a little
//! does not make it grow with all it ever got.

/// Written bytes are kept up to this many, so that they are not moved for each write.
const KEPT: usize = 16 * 1024;

/// Bytes for the peer, and how many of them are written.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is not written yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// How much of it there is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` bytes of the rest are written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            self.bytes = Vec::new();
            self.written = 0;
        } else if self.written >= KEPT && self.written * 2 >= self.bytes.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_always_lags_a_little_gets_all_in_order_in_little_memory() {
        let mut outbox = Outbox::default();
        let (mut pushed, mut taken) = (0u32, 0u32);
        while pushed < 1_000_000 {
            for _ in 0..1000 {
                outbox.push(&pushed.to_be_bytes());
                pushed += 1;
            }
            // One number stays behind for ever.
            while outbox.len() > 4 {
                assert_eq!(outbox.rest()[..4], taken.to_be_bytes());
                outbox.wrote(4);
                taken += 1;
            }
            assert!(
                outbox.bytes.capacity() <= 4 * KEPT,
                "{}",
                outbox.bytes.capacity()
            );
        }
        outbox.wrote(4);
        assert!(outbox.is_empty() && outbox.bytes.capacity() == 0);
    }
}
