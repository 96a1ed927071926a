//! Rows that are not played here, each with its reason, and the ids of all rows of these sections.

/// Row and reason.
pub const WAITING: &[(&str, &str)] = &[
    ("X04", "WebSocket and BOSH come with HTTP"),
    ("X48", "a property, tested beside the framer in protocol"),
    ("T07", "neither side of rustls can renegotiate"),
    (
        "T41",
        "a rule of the sources, in tidy.rs: secrets are compared by `subtle`",
    ),
    (
        "P10",
        "caps of clients are tested beside PEP in src/extensions",
    ),
    (
        "P11",
        "caps of clients are tested beside PEP in src/extensions",
    ),
    (
        "R13",
        "a limit on memory is set by the system: played by hand before a release",
    ),
    ("R14", "panics are injected in the tests of actors"),
    ("R16", "a rule of the sources, in tidy.rs: no unkeyed hash"),
    ("R18", "uploads come later"),
    (
        "R19",
        "caches keyed by strangers come with PEP and server to server",
    ),
    ("R22", "time is an argument in the tests of actors"),
    ("F46", "POSH is not spoken here"),
    ("L06", "backups come later"),
    ("A11", "a measurement of memory: for the bench"),
    (
        "A12",
        "counters that wrap are tested beside stream management in protocol and actors",
    ),
    ("M17", "a measurement: for the bench"),
    (
        "M18",
        "a crash: in the stories of rooms, and beside rooms in src/extensions",
    ),
    ("M19", "time is an argument: beside rooms in src/extensions"),
];

/// Every row of sections X, T, C, P, R, L, A, U, M and F.
pub const TABLE: &[&str] = &[
    "X01", "X02", "X03", "X04", "X05", "X06", "X08", "X10", "X12", "X13", "X15", "X16", "X17",
    "X19", "X20", "X22", "X23", "X24", "X25", "X26", "X27", "X28", "X30", "X33", "X35", "X38",
    "X39", "X40", "X41", "X42", "X44", "X45", "X46", "X48", "T01", "T02", "T03", "T04", "T05",
    "T06", "T07", "T09", "T10", "T12", "T13", "T14", "T16", "T17", "T18", "T20", "T21", "T22",
    "T23", "T24", "T25", "T26", "T27", "T29", "T30", "T31", "T33", "T35", "T36", "T37", "T38",
    "T39", "T40", "T41", "T42", "T43", "C01", "C02", "C04", "C05", "C06", "C07", "C08", "C09",
    "C10", "C11", "C12", "C13", "C15", "C16", "C17", "C18", "C19", "C20", "C22", "C23", "C24",
    "C25", "C26", "C27", "C28", "C29", "C30", "C31", "C32", "C33", "C34", "P01", "P02", "P03",
    "P04", "P05", "P06", "P08", "P09", "P10", "P11", "P15", "P16", "R03", "R04", "R05", "R06",
    "R08", "R09", "R10", "R11", "R13", "R14", "R15", "R16", "R17", "R18", "R19", "R20", "R21",
    "R22", "R24", "L01", "L02", "L04", "L05", "L06", "L07", "A01", "A02", "A03", "A04", "A05",
    "A06", "A07", "A08", "A09", "A11", "A12", "A13", "A14", "A15", "A17", "A19", "A20", "A21",
    "A22", "A23", "A24", "U01", "U02", "U03", "U04", "U07", "U09", "U10", "U11", "U12", "U13",
    "U14", "U15", "U16", "U17", "U18", "M01", "M02", "M03", "M04", "M05", "M07", "M08", "M10",
    "M11", "M12", "M13", "M14", "M16", "M17", "M18", "M19", "F01", "F02", "F03", "F04", "F05",
    "F06", "F07", "F08", "F09", "F10", "F11", "F14", "F15", "F16", "F17", "F18", "F20", "F21",
    "F22", "F23", "F25", "F26", "F29", "F30", "F31", "F32", "F33", "F34", "F38", "F39", "F40",
    "F41", "F42", "F43", "F44", "F45", "F46",
];
