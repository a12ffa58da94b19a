"""How good a result is: PSNR, SSIM, LPIPS, artefacts, scores with their protocol, and the gate before publication."""
