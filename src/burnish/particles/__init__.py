"""From particle images to a map."""
