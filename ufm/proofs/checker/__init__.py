"""What `check_proof.py` is made of, of the standard library alone; no file imports anything of ufm outside of this folder."""
