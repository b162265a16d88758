"""What Fathom is made of: parts, licences, and a bill of both for machines. No Qt here."""
