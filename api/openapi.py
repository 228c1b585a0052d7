"""`python -m api.openapi`: write the OpenAPI document that the page's client is generated from."""

import json
import sys
from pathlib import Path

from api.app import create_app, describe

TARGET = Path(__file__).parent.parent / "web" / "openapi.json"


def document() -> str:
    """The document as committed: sorted keys, so that a change shows as a small diff."""
    return json.dumps(describe(create_app()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write `web/openapi.json` of the clone."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
