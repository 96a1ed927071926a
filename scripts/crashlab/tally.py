"""What a run lost and doubled, in a few lines that can stand beside those of another server."""

from collections import Counter

ROWS = (
    ("acknowledged messages", ("acknowledged messages",)),
    ("  of these in no archive", ("acknowledged messages in no archive",)),
    ("  of these never delivered, in the archive at most",
     ("acknowledged messages that never came",)),
    ("  not at one of two resources", ("messages that one of two resources never had",
                                         "copies of what was sent that never came")),
    ("messages twice on one stream", ("doubled on one stream",)),
    ("sessions that could be resumed", ("sessions resumed when the server ended",)),
    ("sessions that were gone", ("sessions that were gone when the server ended",)),
)
INVARIANTS = (
    ("messages twice in one archive, or out of order", ("I2 ", "I3 ")),
    ("messages in one of two archives", ("I4 ",)),
    ("acknowledged changes of an account lost", ("I6 ",)),
    ("changes half done", ("I7 ",)),
)


def show(name, points, counts, complaints):
    print(f"{name}, {points} points")
    for title, names in ROWS:
        print(f"  {sum(counts[it] for it in names):8} {title}")
    said = Counter(line.split(": ", 1)[1][:3] for line in complaints
                   if "twice on one stream" not in line)
    for title, names in INVARIANTS:
        print(f"  {sum(said[it] for it in names):8} {title}")
