"""DICOM series for tests (synthetic), and what may be wrong with them."""

import numpy as np

from veloxseg.imaging import images


def write_dicom(image, folder, modality, change=lambda number, header: None):
    """A series of slices; PET in Bq/ml of 70 kg and 350 MBq without decay, the slope growing with the slice.

    change: what happens to the header of each slice before it is written.
    """
    import pydicom

    folder.mkdir()
    array, grid = images.array_of(image).astype(float), images.grid_of(image)
    if modality == "PT":
        array *= 350e6 / 70e3
    series, frame = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    for number in range(grid.size[2]):
        plane = array[:, :, number].T
        slope = 1.0 if modality == "CT" else 0.5 + 0.1 * number
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        header.SeriesInstanceUID, header.StudyInstanceUID, header.FrameOfReferenceUID = series, frame, frame
        header.Modality, header.InstanceNumber = modality, number + 1
        header.Rows, header.Columns = plane.shape
        header.PixelSpacing, header.SliceThickness = [grid.spacing[1], grid.spacing[0]], grid.spacing[2]
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.ImagePositionPatient = [float(v) for v in grid.world(np.array([0, 0, number]))]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
        header.RescaleSlope, header.RescaleIntercept = slope, -1024.0 if modality == "CT" else 0.0
        stored = np.rint((plane - header.RescaleIntercept) / slope)
        header.PixelData = np.clip(stored, 0, 65535).astype(np.uint16).tobytes()
        if modality == "PT":
            header.Units, header.DecayCorrection, header.CorrectedImage = "BQML", "ADMIN", ["DECY", "ATTN"]
            header.PatientWeight = 70
            dose = pydicom.Dataset()
            dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = 350e6, 6586.2
            header.RadiopharmaceuticalInformationSequence = [dose]
        change(number, header)
        header.save_as(folder / f"{number}.dcm", enforce_file_format=True)
