"""``fathom sbom``: what this Fathom is made of, for machines to read. No Qt here."""

from __future__ import annotations

import argparse
import json

from app.cli.session import Session
from app.cli.table import format_table
from models.errors import BadInputError
from models.parts.origins import owners_in
from models.parts.parts import bundle_folder, parts_of_program
from models.parts.sbom import bill_of_materials


def sbom(options: argparse.Namespace, session: Session) -> int:  # noqa: ARG001 - as every verb
    """Print the parts, or with ``--json`` the bill of materials."""
    parts = parts_of_program()
    if options.folder is not None and not options.json:
        raise BadInputError("--folder is for the bill of materials.", hint="Add --json.")
    if not options.json:
        rows = [("part", "version", "licence")]
        rows += [(part.name, part.version, part.licence) for part in parts]
        print(format_table(rows, wrap=2))
        return 0
    try:
        owners = owners_in(options.folder, bundle_folder()) if options.folder else {}
        bill = bill_of_materials(parts, folder=options.folder, owners=owners)
    except OSError as error:
        raise BadInputError(f"A file of the build cannot be read ({error}).") from error
    print(json.dumps(bill, indent=1))
    return 0
