"""Names of GPUs by PCI number, from the lists a Linux system carries. No Qt here."""

from __future__ import annotations

from pathlib import Path

_AMDGPU_IDS = "usr/share/libdrm/amdgpu.ids"
_PCI_IDS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")


def gpu_name(root: Path, vendor: int, device: int, revision: int) -> str:
    """Return the GPU's name, empty when no list knows it."""
    return _amdgpu_name(root, vendor, device, revision) or _pci_name(root, vendor, device)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _amdgpu_name(root: Path, vendor: int, device: int, revision: int) -> str:
    if vendor != 0x1002:
        return ""
    for line in _lines(root / _AMDGPU_IDS):
        parts = [part.strip() for part in line.split(",", 2)]
        if len(parts) == 3 and parts[0] == f"{device:04X}" and parts[1] == f"{revision:02X}":
            return parts[2]
    return ""


def _pci_name(root: Path, vendor: int, device: int) -> str:
    for path in _PCI_IDS:
        inside = False
        for line in _lines(root / path):
            if not line.startswith("\t"):
                inside = line.startswith(f"{vendor:04x} ")
            elif inside and line.startswith(f"\t{device:04x} "):
                return _bracketed(line.strip()[4:].strip())
    return ""


def _bracketed(name: str) -> str:
    """Return the product name where the list gives chip and product: ``Navi 31 [RX 7900]``."""
    start, end = name.find("["), name.rfind("]")
    return name[start + 1 : end] if 0 <= start < end else name
