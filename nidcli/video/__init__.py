"""Video of a fixed camera: a background that all frames share, and what moves in front of it.

    frame_t(x, y) = sum_i alpha_i(t) b_i(x, y) + constants_t + foreground_t(x, y)

The experts b_i are one scene's picture and its light; the codes alpha_i(t) are solved for, a frame at a time.
Letters, beside those of `dictionary`: T frames, H rows, W columns.
"""
