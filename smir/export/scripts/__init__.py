"""Programs that are copied beside the exported files, as they are; none of them imports smir."""
