"""From trained weights to what a worker runs: export, quantisation, the proof that nothing was lost, registration.

Read :mod:`enhancer.deployment.build` top down. Needs torch and, to quantise, NNCF; what it makes needs neither.
"""
