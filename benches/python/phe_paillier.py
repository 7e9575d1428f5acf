"""Paillier with python-paillier and gmpy2: no proofs, one key."""

from importlib.metadata import version

import clock

BITS = 3072


def main():
    try:
        import gmpy2
        from phe import EncryptedNumber, paillier, util
    except Exception as reason:
        return clock.skip("python-paillier with gmpy2", reason)
    if not util.HAVE_GMP:
        return clock.skip("python-paillier with gmpy2", "python-paillier does not find gmpy2")
    key, secret = paillier.generate_paillier_keypair(n_length=BITS)

    def encrypt():
        return key.encrypt(137).ciphertext()

    def read_and_add():
        return total + EncryptedNumber(key, message)

    def decrypt():
        return secret.decrypt(total)

    message = encrypt()
    total = EncryptedNumber(key, message)
    assert decrypt() == 137
    operations = {"encrypt": encrypt, "read-and-add": read_and_add, "decrypt": decrypt}
    library = f"python-paillier {version('phe')}, {BITS} bits, gmpy2 {gmpy2.version()}"
    return clock.report(library, operations)


main()
