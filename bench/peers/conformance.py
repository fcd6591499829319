#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights of random Gram matrices by fuller, by installed TorchJD and by LibMTL's formulas, each against the solution at 50 digits.

    bench/peers/conformance PYTHON [COUNT]      a Python with numpy and mpmath, and torchjd where that is to be compared

The solutions are by other means than fuller's: eigenvectors, inverses, Lawson and Hanson's active set, bisection, in mpmath. An
error is the length of the difference of the updates over that of the update. Ends with 1 where fuller's is above its bound.
"""
import math
import subprocess
import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 50


def matrix(G):
    return mp.matrix([[mp.mpf(float(x)) for x in row] for row in G])


def norms(G):
    return [mp.sqrt(G[i, i]) for i in range(G.rows)]


def vector(values):
    return mp.matrix([mp.mpf(v) for v in values])


def cosines(G):
    n = norms(G)
    return mp.matrix([[G[i, j] / n[i] / n[j] for j in range(G.rows)] for i in range(G.rows)])


def nonnegative(A, q):
    """min x'Ax/2 + q'x over x >= 0, by Lawson and Hanson's method."""
    n = A.rows
    x = mp.matrix(n, 1)
    inside = []
    for _ in range(100 * n):
        y = A * x + q
        outside = [i for i in range(n) if i not in inside]
        if not outside or min(y[i] for i in outside) > -mp.mpf(10) ** -35:
            return x
        inside.append(min(outside, key=lambda i: y[i]))
        while True:
            inside.sort()
            sub = mp.matrix([[A[i, j] for j in inside] for i in inside])
            s = mp.lu_solve(sub, -mp.matrix([q[i] for i in inside]))
            if min(s) > 0:
                x = mp.matrix(n, 1)
                for k, i in enumerate(inside):
                    x[i] = s[k]
                break
            steps = [x[i] / (x[i] - s[k]) for k, i in enumerate(inside) if s[k] <= 0]
            t = min(steps)
            for k, i in enumerate(inside):
                x[i] += t * (s[k] - x[i])
            inside = [i for k, i in enumerate(inside) if not (s[k] <= 0 and abs(x[i]) < mp.mpf(10) ** -40)]
    raise ArithmeticError("no end")


def imtl_g(G, L):
    beta = mp.lu_solve(cosines(G), mp.ones(G.rows, 1))
    w = [beta[i] / n for i, n in enumerate(norms(G))]
    total = mp.fsum(w)
    s, longest = mp.fsum(beta), max(norms(G))
    if any(b < 0 for b in beta):
        total = max(total, s / longest)
    return vector([x / total for x in w])


def con_fig(G, L):
    beta = mp.lu_solve(cosines(G), mp.ones(G.rows, 1))
    return vector([beta[i] / n * mp.fsum(norms(G)) / mp.fsum(beta) for i, n in enumerate(norms(G))])


def aligned(G, L):
    values, V = mp.eigsy(G)
    least = min(values)
    w = mp.matrix(G.rows, 1)
    for k in range(G.rows):
        along = mp.fsum(V[i, k] for i in range(G.rows)) / G.rows
        for i in range(G.rows):
            w[i] += mp.sqrt(least / values[k]) * along * V[i, k]
    return w


def pcgrad(G, L):
    return vector([1 - min(G[0, 1], 0) / G[0, 0], 1 - min(G[0, 1], 0) / G[1, 1]])


def db_mtl(G, L):
    n = norms(G)
    longest = max(a / (l + mp.mpf("1e-8")) for a, l in zip(n, L))
    return vector([longest / a for a in n])


def fair(alpha):
    def solve(G, L, start=None):
        """Newton at 50 digits from doubles that are near: the solution with w > 0 is unique, so whichever is found is the one."""
        w = vector(start)
        power = -1 / mp.mpf(alpha)
        for _ in range(12):
            F = G * w - vector([x ** power for x in w])
            slope = G.copy()
            for i in range(G.rows):
                slope[i, i] -= power * w[i] ** (power - 1)
            w -= mp.lu_solve(slope, F)
        F = G * w - vector([x ** power for x in w])
        if min(w) <= 0 or max(abs(F[i]) * w[i] ** -power for i in range(G.rows)) > mp.mpf(10) ** -30:
            raise ArithmeticError("no solution near these weights")
        return w
    return solve


def nash(G, L, start=None):
    scale = mp.sqrt((vector(start).T * G * vector(start))[0]) / mp.sqrt(G.rows)  # |update|^2 is T before it is clipped
    w = fair(1)(G, L, [x / scale for x in start])
    return w / max(1, mp.sqrt((w.T * G * w)[0]))


def upgrad(G, L):
    T = G.rows
    w = mp.ones(T, 1) / T
    for i in range(T):
        w += nonnegative(G, mp.matrix([G[j, i] for j in range(T)])) / T
    return w


def dual_proj(G, L):
    u = mp.ones(G.rows, 1) / G.rows
    return u + nonnegative(G, G * u)


def mgda(G, L):
    T = G.rows
    x = nonnegative(G + mp.ones(T, 1) * mp.ones(1, T), -mp.ones(T, 1))
    return x / mp.fsum(x)


def cagrad(G, L, c=mp.mpf("0.5")):
    """By the dual of the paper: min_w <g_w, g_0> + c |g_0| |g_w| over the simplex, as the shortest vector of hull{g_0 + t g_i}."""
    T = G.rows
    u = mp.ones(T, 1) / T
    square = (u.T * G * u)[0]
    q = G * u

    def at(t):
        H = mp.matrix(T, T)
        for i in range(T):
            for j in range(T):
                H[i, j] = square + t * (q[i] + q[j]) + t * t * G[i, j]
        w = mgda(H / square, L)
        return w, t * mp.sqrt((w.T * G * w)[0])
    low, high = mp.mpf(0), mp.mpf(1)
    while at(high)[1] < c * mp.sqrt(square):
        high *= 2
        if high > mp.mpf(10) ** 12:
            break
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle)[1] < c * mp.sqrt(square) else (low, middle)
    return u + high * at(high)[0]


def pcd(G, L, tau=mp.mpf("0.02")):
    n = norms(G)
    s = [1 / mp.sqrt(a * a + mp.mpf("1e-8")) for a in n]
    T = G.rows
    A = mp.matrix([[s[i] * s[j] * G[i, j] for j in range(1, T)] for i in range(1, T)])
    q = mp.matrix([s[0] * s[j] * G[0, j] - tau * s[j] ** 2 * G[j, j] for j in range(1, T)])
    x = nonnegative(A, q)
    w = vector([s[0]] + [x[j - 1] * s[j] for j in range(1, T)])
    return w * n[0] / mp.sqrt((w.T * G * w)[0])


def famo(G, L):
    w = [1 / (l + mp.mpf("1e-8")) for l in L]
    return vector([x / mp.fsum(w) for x in w])


def stch(G, L):
    e = [mp.exp(l) for l in L]
    return vector([x / mp.fsum(e) for x in e])


def gls(G, L):
    mean = mp.exp(mp.fsum(mp.log(l) for l in L) / len(L))
    return vector([mean / l / len(L) for l in L])


SOLUTIONS = {
    "IMTL_G": (imtl_g, 1e-9), "ConFIG": (con_fig, 1e-9), "AlignedMTL": (aligned, 1e-9), "PCGrad": (pcgrad, 1e-12),
    "GradVac": (pcgrad, 1e-12), "DBMTL": (db_mtl, 1e-12), "FairGrad_0.5": (fair(0.5), 1e-7), "FairGrad_1.0": (fair(1), 1e-7),
    "FairGrad_2.0": (fair(2), 1e-7), "NashMTL": (nash, 1e-7), "UPGrad": (upgrad, 1e-10), "DualProj": (dual_proj, 1e-10),
    "MGDA": (mgda, 1e-9), "CAGrad": (cagrad, 1e-9), "PCD": (pcd, 1e-9), "FAMO": (famo, 1e-12), "STCH": (stch, 1e-12),
    "GLS": (gls, 1e-12),
}


def by_torchjd():
    """What TorchJD has of these, as functions of a Gram matrix; empty where it is not installed."""
    try:
        import torch
        from torchjd import aggregation as a
    except ImportError:
        return {}, None
    makers = {
        "IMTL_G": "IMTLGWeighting", "AlignedMTL": "AlignedMTLWeighting", "PCGrad": "PCGradWeighting", "GradVac": "GradVacWeighting",
        "UPGrad": "UPGradWeighting", "DualProj": "DualProjWeighting", "MGDA": "MGDAWeighting", "PCD": "PCDWeighting",
        "CAGrad": "CAGradWeighting", "FairGrad_1.0": "FairGradWeighting", "ConFIG": "ConFIGWeighting",
    }
    found = {}
    for rule, maker in makers.items():
        if not hasattr(a, maker):
            continue
        try:
            options = {"CAGrad": {"c": 0.5}, "FairGrad_1.0": {"alpha": 1.0}}.get(rule, {})
            getattr(a, maker)(**options)
            # A new one for each matrix: some keep what they saw.
            found[rule] = lambda G, make=getattr(a, maker), options=options: make(**options)(G)
        except Exception as reason:  # an extra that it needs is missing
            print(f"TorchJD's {maker} is left out: {reason}")
    return found, torch


def by_libmtl(name, G, L):
    """LibMTL's formulas of what it has in another form, in numpy; None for the rest."""
    n = np.sqrt(np.diag(G))
    T = len(n)
    if name == "IMTL_G":
        J = np.linalg.cholesky(G)  # any J with J J' = G
        U = J / n[:, None]
        D, V = J[0] - J[1:], U[0] - U[1:]
        try:
            alpha = J[0] @ V.T @ np.linalg.inv(D @ V.T)
        except np.linalg.LinAlgError:
            return None
        return np.concatenate([[1 - alpha.sum()], alpha])
    if name == "AlignedMTL":
        values, V = np.linalg.eigh(G)
        values, V = values[values > values.max() * T * np.finfo(float).eps], V[:, values > values.max() * T * np.finfo(float).eps]
        return V @ np.diag(np.sqrt(values.min() / values)) @ V.T @ np.full(T, 1 / T)
    if name == "PCGrad" and T == 2:
        return np.array([1 - min(G[0, 1], 0) / (G[0, 0] + 1e-8), 1 - min(G[0, 1], 0) / (G[1, 1] + 1e-8)])
    if name == "DBMTL":
        return (n / (L + 1e-8)).max() / n
    return None


def error(G, found, right):
    if found is None or not np.all(np.isfinite(found)):
        return math.inf
    difference = vector(found) - right
    return float(mp.sqrt(abs((difference.T * G * difference)[0]) / (right.T * G * right)[0]))


def problems(count):
    random = np.random.default_rng(1)
    for k in range(count):
        T = 2 + k % 6
        J = random.standard_normal((T, 2 * T + 2)) + random.choice([0, 0.7]) * random.choice([-1, 1], T)[:, None] * random.standard_normal(2 * T + 2)
        spread = [0, 1, 4][k // 6 % 3]  # lengths within a factor of 1, 1e2 and 1e8
        J *= 10 ** random.uniform(-spread, spread, T)[:, None]
        # Products of numbers with few digits: the matrix that all get is exactly that of J.
        J = np.float32(J).astype(np.float64)
        yield np.array([[math.fsum(a * b) for b in J] for a in J]), np.exp(random.standard_normal(T)), 10 ** spread


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 72
    drawn = list(problems(count))
    text = "\n".join(" ".join(map(repr, map(float, [*G.ravel(), *L]))).join([f"{len(L)} ", ""]) for G, L, _ in drawn)
    lines = iter(subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout.splitlines())
    torchjd, torch = by_torchjd()
    worst = {}
    pending = next(lines, None)
    for G, L, spread in drawn:
        exact = matrix(G)
        seen = set()
        while pending is not None:
            name, *numbers = pending.split()
            if name in seen:
                break
            seen.add(name)
            pending = next(lines, None)
            if name not in SOLUTIONS:
                continue
            found = np.array(numbers, float)
            near = (found,) if name.startswith("FairGrad") or name == "NashMTL" else ()
            right = SOLUTIONS[name][0](exact, [mp.mpf(float(l)) for l in L], *near)
            errors = worst.setdefault((name, spread), [0, None, None])
            errors[0] = max(errors[0], error(exact, found, right))
            if name in torchjd:
                try:
                    other = torchjd[name](torch.tensor(G)).numpy()
                except Exception:
                    other = None
                errors[1] = max(errors[1] or 0, error(exact, other, right))
            other = by_libmtl(name, G, L)
            if other is not None:
                errors[2] = max(errors[2] or 0, error(exact, other, right))
    print(f"{count} Gram matrices of 2 to 7 tasks; largest error of the update against 50 digits")
    print(f"{'rule':14} {'lengths within':>14} {'fuller':>9} {'TorchJD':>9} {'LibMTL':>9}")
    shown = lambda e: "-" if e is None else f"{e:.1e}"
    failed = False
    for (name, spread), (ours, theirs, libmtl) in sorted(worst.items()):
        bad = not ours <= SOLUTIONS[name][1]
        failed = failed or bad
        print(f"{name:14} {spread * spread:14.0e} {shown(ours):>9} {shown(theirs):>9} {shown(libmtl):>9}{'   above ' + str(SOLUTIONS[name][1]) if bad else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
