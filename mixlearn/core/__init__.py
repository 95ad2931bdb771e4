"""The algebra of mixing: a draw makes a plan, a plan mixes images and softens labels. Needs torch only."""
