"""Images and masks of their parts become a U-Net whose skips line up, and its outlines of other images."""
