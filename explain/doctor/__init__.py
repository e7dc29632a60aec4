"""Whether a server is as it should be: the rules of the doctor, and the facts they look at."""
