"""The datasets of the paper: their archives are recognised, downloaded where that is allowed, and unpacked."""
