"""Fine fields become a trained network in one file, and that file refines coarse fields."""
