"""Pictures become a generator whose upsampling is chosen, constrained and measured, and its samples."""
