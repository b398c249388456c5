"""What the options of RELION, REFMAC, Servalcat and phenix.refine are called here, for who types them from habit."""

from __future__ import annotations

RELION_FILES = {"--i": "--particles", "--o": "--out", "--j": "--threads"}
MODEL_FILES = {
    "--dmin": "--d-min",
    "--free": "--free-label",
    "--halfmaps": "--half1 FILE --half2 FILE",
    "--hklin": "the second argument, DATA",
    "--hklout": "--out FOLDER",
    "--labin": "--labels F,SIGF",
    "--libin": "--ligand FILE.cif",
    "--ncycle": "--cycles",
    "--o": "--out",
    "--output_prefix": "--out",
    "--pg": "--symmetry",
    "--r_free_flags": "--free-label",
    "--xyzin": "the first argument, MODEL",
    "--xyzout": "--out FOLDER",
    "hklin": "DATA",
    "hklout": "--out FOLDER",
    "labin": "--labels F,SIGF",
    "libin": "--ligand FILE.cif",
    "number_of_macro_cycles": "--cycles",
    "output.prefix": "--out",
    "xyzin": "MODEL",
    "xyzout": "--out FOLDER",
}
OTHER_NAMES: dict[str, dict[str, str]] = {
    "refine3d": {
        **RELION_FILES,
        "--angpix": "--reference-angpix",
        "--auto_local_healpix_order": "nothing: local searches begin by themselves",
        "--auto_refine": "nothing: it always is",
        "--ctf": "nothing: it is on (--no-ctf-correction)",
        "--firstiter_cc": "nothing: --no-absolute-greyscale is the default",
        "--flatten_solvent": "nothing: it is on",
        "--gpu": "--device cuda",
        "--healpix_order": "--angular-sampling DEGREES",
        "--ini_high": "--initial-lowpass",
        "--low_resol_join_halves": "--join-halves",
        "--norm": "nothing: it is on (--no-norm-correction)",
        "--offset_range": "--offset-range",
        "--offset_step": "--offset-step",
        "--oversampling": "nothing: sampling follows from the data",
        "--particle_diameter": "--mask-diameter",
        "--ref": "--reference",
        "--scale": "nothing: it is on (--no-scale-correction)",
        "--solvent_correct_fsc": "--solvent-flattened-fsc",
        "--solvent_mask": "--mask",
        "--split_random_halves": "nothing: it always is",
        "--sym": "--symmetry",
    },
    "mask": {
        "--extend_inimask": "--extend",
        "--i": "the first argument, MAP",
        "--ini_threshold": "--threshold",
        "--o": "--out",
        "--width_soft_edge": "--soft-edge",
    },
    "postprocess": {
        "--adhoc_bfac": "--bfactor",
        "--auto_bfac": "--bfactor auto",
        "--autob_highres": "--autob-highres",
        "--autob_lowres": "--autob-lowres",
        "--i": "the first argument, HALF1",
        "--i2": "the second argument, HALF2",
        "--low_pass": "--lowpass",
        "--mtf_angpix": "--mtf-angpix",
        "--o": "--out",
        "--skip_fsc_weighting": "--no-fsc-weighting",
    },
    "ctfrefine": {
        **RELION_FILES,
        "--f": "--postprocess",
        "--fit_aberr": "--fourth-order",
        "--fit_aniso": "--magnification",
        "--fit_beamtilt": "--beam-tilt",
        "--fit_defocus": "--defocus particle",
        "--fit_phase": "--phase-shift",
        "--kmin_defocus": "--min-resolution",
        "--kmin_tilt": "--min-resolution",
        "--m1": "--half1",
        "--m2": "--half2",
        "--odd_aberr_max_n": "--trefoil",
    },
    "image": {
        "--i": "the first argument, INPUT",
        "--o": "--out",
        "--new_box": "--new-box",
        "--rescale_angpix": "--rescale-angpix",
        "--sym": "--symmetry",
    },
    "localres": {
        "--adhoc_bfac": "--bfactor",
        "--i": "the first argument, HALF1",
        "--locres_randomize_at": "--randomise-from",
        "--locres_sampling": "--step",
        "--o": "--out",
    },
    **dict.fromkeys(("refine", "cycle", "rebuild", "validate", "fit", "rcomplete", "paired", "bmodel"), MODEL_FILES),
}


def own_name(command: str, word: str) -> str | None:
    """What stands here for an option of another program, None where nothing is known.

    >>> own_name("refine3d", "--sym"), own_name("refine", "refinement.main.number_of_macro_cycles=5")
    ('--symmetry', '--cycles')
    """
    names = OTHER_NAMES.get(command, {})
    key = word.partition("=")[0].lower()
    return names.get(key) or names.get(key.rpartition(".")[2]) or names.get("--" + key.removeprefix("--"))
