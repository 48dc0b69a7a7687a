"""ViP2-CLIP (arXiv 2505.17692): prompts that see the image, and one text that meets the patches."""
