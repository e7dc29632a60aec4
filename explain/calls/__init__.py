"""Why a call failed, or how it went: the rules, by theme, and the explanation that they make together."""
