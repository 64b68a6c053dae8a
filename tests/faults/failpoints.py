"""Every failpoint of the sources, by name: python3 failpoints.py SOURCE_DIR prints them, one a line."""

import pathlib
import re
import sys

FOLDERS = ("common", "server", "client")
USE = re.compile(r'YOKE_FAILPOINT(?:_ERROR|_LENGTH)?\("([^"]+)"')


def listed(source):
    """name -> files it stands in."""
    found = {}
    for folder in FOLDERS:
        for suffix in ("cc", "h"):
            for path in sorted((pathlib.Path(source) / folder).rglob(f"*.{suffix}")):
                if path.name == "failpoint.h":  # its examples
                    continue
                for name in USE.findall(path.read_text(encoding="utf-8")):
                    found.setdefault(name, []).append(str(path.relative_to(source)))
    return found


if __name__ == "__main__":
    print("\n".join(sorted(listed(sys.argv[1]))))
