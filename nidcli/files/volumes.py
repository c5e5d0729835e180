"""Slices of DICOM and NIfTI files, through the extras that read them, with what their metadata say of the units."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from nidcli.errors import InputError

_MAGIC = 128  # where "DICM" stands


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM (PS3.10)."""
    try:
        with path.open("rb") as file:
            file.seek(_MAGIC)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def dicom_slice(path: Path) -> tuple[np.ndarray, bool]:
    """One slice (H, W) float32 with its rescale slope and intercept applied, and whether it is in Hounsfield units.

    It is where the rescale type says HU, or says nothing on an image of the modality CT.
    """
    try:
        import pydicom
    except ImportError:
        raise InputError(f"{path} is DICOM, and pydicom is not installed; pip install 'nidcli[ct]'.") from None
    try:
        logging.getLogger("pydicom").setLevel(logging.ERROR)
        data = pydicom.dcmread(path)
        values = data.pixel_array.astype(np.float32)
    except Exception as error:  # whatever a parser stumbles over
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is no DICOM image that can be read ({reason}); export it again.") from error
    if values.ndim != 2:
        raise InputError(f"{path} holds pixels of the shape {values.shape}; export single grey slices.")
    values = values * np.float32(data.get("RescaleSlope", 1) or 1) + np.float32(data.get("RescaleIntercept", 0) or 0)
    kind = str(data.get("RescaleType", "") or "").upper()
    rescaled = "RescaleIntercept" in data
    return values, kind == "HU" or (kind in ("", "US") and rescaled and data.get("Modality") == "CT")


def nifti_slices(path: Path) -> tuple[np.ndarray, bool]:
    """Axial slices (n, H, W) float32, upright, and whether they are in Hounsfield units.

    They are where the header calls them so, or where air is far below zero, as attenuation never is.
    """
    try:
        import nibabel
    except ImportError:
        raise InputError(f"{path} is NIfTI, and nibabel is not installed; pip install 'nidcli[ct]'.") from None
    try:
        volume = nibabel.as_closest_canonical(nibabel.load(path))
        values = np.asarray(volume.dataobj, dtype=np.float32)
        said = bytes(volume.header["descrip"]).decode("latin-1") + bytes(volume.header["intent_name"]).decode("latin-1")
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is no NIfTI volume that can be read ({reason}); export it again.") from error
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3:
        raise InputError(f"{path} holds an array of the shape {values.shape}; a volume has three axes.")
    # canonical axes run to the right, the front and the top of the body; rows of a slice run to its back
    slices = values.transpose(2, 1, 0)[:, ::-1]
    words = said.upper().replace("\0", " ").split()
    return slices, "HU" in words or "HOUNSFIELD" in words or float(values.min(initial=0)) <= -500
