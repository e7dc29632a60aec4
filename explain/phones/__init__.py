"""Why a phone can't register, and why a number can't be reached: the rules, and the explanations that they make."""
