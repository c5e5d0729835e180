"""Slices to learn from: what numbers mean, by the file's word or by the preset's, and phantoms drawn by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.segmentation import flood

from nidcli.ct.teaching import Phantoms
from nidcli.errors import InputError, UsageError
from nidcli.files.image_writing import write_image
from nidcli.files.slices import SliceScale, open_slices, phantom_count
from nidcli.phantoms import ELLIPSES, drawn, random_phantom, shepp_logan

HU = SliceScale(units="hu", zero=1024)


def hounsfield() -> np.ndarray:
    return np.linspace(-1000, 1000, 16 * 16).reshape(16, 16).round()


def only(path: Path, scale: SliceScale) -> np.ndarray:
    return open_slices([str(path)], scale).image(0, 16)[:, :, 0].numpy()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_integers_of_images_are_hounsfield_units_with_an_offset(tmp_path: Path, suffix: str):
    write_image(tmp_path / f"a{suffix}", (hounsfield() + 1024).astype(np.uint16))
    assert np.allclose(only(tmp_path / f"a{suffix}", HU), (hounsfield() + 1000) / 2000, atol=1e-6)


def test_integers_of_a_stack_are_attenuation_with_a_white(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 4096, (3, 16, 16), dtype=np.uint16)
    np.savez(tmp_path / "train.npz", images=images)
    found = open_slices([str(tmp_path / "train.npz")], SliceScale(white=4095))
    assert len(found) == 3
    assert np.allclose(found.image(2, 16)[:, :, 0], images[2] / 4095, atol=1e-6)


def test_dicom_says_itself_what_it_holds(tmp_path: Path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(tmp_path / "slice"), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
    file.Rows = file.Columns = 16
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.RescaleSlope, file.RescaleIntercept, file.RescaleType = 15, "0.5", "-1000", "HU"
    file.PixelData = ((hounsfield() + 1000) * 2).astype(np.uint16).tobytes()
    file.save_as(tmp_path / "slice", enforce_file_format=True)
    assert pydicom.dcmread(tmp_path / "slice").Modality == "CT"
    for scale in (HU, SliceScale()):  # metadata win over the preset
        assert np.allclose(only(tmp_path / "slice", scale), (hounsfield() + 1000) / 2000, atol=1e-6)


def test_nifti_slices_stand_upright_and_negative_air_means_hounsfield_units(tmp_path: Path):
    nibabel = pytest.importorskip("nibabel")
    picture = hounsfield()  # row 0 is the front of the body
    volume = np.stack([picture[::-1].T, picture[::-1].T - 7], axis=2).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "scan.nii.gz")
    found = open_slices([str(tmp_path / "scan.nii.gz")], SliceScale())
    assert len(found) == 2
    assert np.allclose(found.image(0, 16)[:, :, 0], (picture + 1000) / 2000, atol=1e-6)


def test_a_folder_leaves_out_what_holds_no_slice_and_says_so(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((2, 16, 16)))
    (tmp_path / "index.csv").write_text("file,patient")
    told: list[str] = []
    assert len(open_slices([str(tmp_path)], SliceScale(), warn=told.append)) == 2
    assert len(told) == 1 and "index.csv" in told[0]
    with pytest.raises(InputError, match=r"index.csv holds no slice"):
        open_slices([str(tmp_path / "index.csv")], SliceScale())


def test_phantoms_follow_from_their_seed_at_any_size():
    assert np.array_equal(random_phantom(3, 1, 32), random_phantom(3, 1, 32))
    assert not np.array_equal(random_phantom(3, 1, 32), random_phantom(3, 2, 32))
    large = random_phantom(3, 1, 96).reshape(32, 3, 32, 3).mean((1, 3))
    assert np.abs(large - random_phantom(3, 1, 32)).mean() < 0.01
    found = open_slices([], SliceScale(), more=[Phantoms(5, seed=3, size=32)])
    assert len(found) == 5 and np.array_equal(found.image(1, 32)[:, :, 0], random_phantom(3, 1, 32))


@pytest.mark.parametrize("number", range(12))
def test_every_random_head_has_a_closed_skull_and_a_brain(number: int):
    head = random_phantom(0, number, 96)
    outside = flood(np.pad(head, 1), (0, 0), tolerance=0.1)[1:-1, 1:-1]
    brain = (head > 0.1) & (head < 0.5)
    assert head.max() == 1 and not (outside & brain).any()
    assert 0.15 < brain.mean() < 0.7 and 0.01 < (head > 0.9).mean() < 0.15


def test_the_phantom_is_that_of_shepp_and_logan():
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    truth = resize(shepp_logan_phantom(), (100, 100), anti_aliasing=True)
    assert np.abs(shepp_logan(100) - truth).mean() < 0.03
    assert drawn(ELLIPSES[:1], 60).sum() * (2 / 60) ** 2 == pytest.approx(np.pi * 0.69 * 0.92, rel=0.01)


@pytest.mark.parametrize("text,count", [("phantoms:12", 12), ("photos", None), ("C:\\photos", None)])
def test_phantoms_are_asked_for_by_number(text: str, count: int | None):
    assert phantom_count(text) == count
    with pytest.raises(UsageError, match="asks for no number"):
        phantom_count("phantoms:many")
