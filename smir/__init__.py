"""Selective Masking Image Reconstruction: pretrain a whole U-Net without labels, then segment."""

__version__ = "0.1.0"
