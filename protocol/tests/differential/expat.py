#!/usr/bin/env python3
"""Shows expat what the differential test accepted: it must accept it too.

    ROOKERY_FUZZ_SHOW=1 cargo test -p rookery-protocol --test differential -- --nocapture |
        protocol/tests/differential/expat.py
"""

import sys
import xml.parsers.expat

number = refused = 0
for line in sys.stdin:
    # The tests run side by side, so a line may begin with what another has printed.
    _, found, shown = line.partition("stream=")
    if found:
        number += 1
        stream = bytes.fromhex(shown)
        # One parser for each character that programs join namespace and name by.
        for separator in " ", "}", "|", "\n":
            parser = xml.parsers.expat.ParserCreate(namespace_separator=separator)
            try:
                parser.Parse(stream, False)
            except xml.parsers.expat.ExpatError as error:
                refused += 1
                print(f"{error} (separator {separator!r}): {stream}")
print(f"{number} streams, {refused} refused")
sys.exit(1 if refused or not number else 0)
