"""The methods that are shipped by default, one file each."""
