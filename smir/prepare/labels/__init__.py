"""Labels as annotation tools export them: recognised by content, matched to images, and drawn as class ids."""
