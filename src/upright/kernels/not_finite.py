"""What a draw gives where there is nothing to draw from."""

NOT_FINITE = -1  # in the place of a token id: the row's greatest logit is infinite, or NaN
