"""Images as numpy, scipy and PIL hold them."""


def pixels(images):
    return images.permute(0, 2, 3, 1).double().numpy()
