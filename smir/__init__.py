"""Selective Masking Image Reconstruction: pretrain a whole U-Net without labels, then segment."""

__version__ = "0.2.0.dev0"
