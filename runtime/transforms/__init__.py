"""From images to a canvas, and boxes back again."""
