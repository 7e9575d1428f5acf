"""Additive ElGamal with petlib, over P-256: no proofs, one key."""

from importlib.metadata import version

import clock


def main():
    try:
        from petlib.bn import Bn
        from petlib.ec import EcGroup, EcPt
    except Exception as reason:  # Its C part fails in many ways.
        return clock.skip("petlib", reason)
    group = EcGroup(415)
    base, order = group.generator(), group.order()
    secret = order.random()
    key = secret * base
    readings = 1 << 10
    table = {(Bn(wh) * base).export(): wh for wh in range(readings)}

    def encrypt(wh=137):
        r = order.random()
        c1, c2 = r * base, Bn(wh) * base + r * key
        return c1.export(), c2.export()

    def read_and_add():
        c1, c2 = (EcPt.from_binary(part, group) for part in message)
        return total[0] + c1, total[1] + c2

    def decrypt():
        return table[(total[1] - secret * total[0]).export()]

    message = encrypt()
    total = [EcPt.from_binary(part, group) for part in message]
    assert decrypt() == 137
    operations = {"encrypt": encrypt, "read-and-add": read_and_add, "decrypt": decrypt}
    return clock.report(f"petlib {version('petlib')}", operations)


main()
