"""Words of other libraries, and the names that mean the same here.

Keys are lower-case without separators. A value names an attribute, an argument or a function of
whatever it was looked up in; one that starts with `vaelab.` can be written anywhere in Python.
"""

from __future__ import annotations

_GROUPS: tuple[tuple[tuple[str, ...], str], ...] = (
    # settings
    (
        ("latent",),
        """latent_dim latent_dims latent_size latent_dimension latent_channels n_latent
        n_latents num_latents z_dim z_size zdim n_z nz n_components code_size code_dim embedding_dim
        hidden_dim bottleneck dim dims""",
    ),
    (
        ("epochs",),
        """max_epochs num_epochs n_epochs nb_epochs num_train_epochs max_iter n_iter
        iterations max_steps num_steps steps n_steps epoch""",
    ),
    (("lr",), "learning_rate lr0 base_lr max_lr eta step_size init_lr learning_rate_init"),
    (
        ("batch_size",),
        """bs batch minibatch_size train_batch_size per_device_train_batch_size
        batchsize samples_per_batch""",
    ),
    (("seed",), "random_state manual_seed rng generator random_seed seed_everything"),
    (("clip",), "gradient_clip_val max_grad_norm grad_clip clip_grad clip_grad_norm clipnorm"),
    (("device",), "accelerator gpu gpus devices use_cuda cuda use_gpu"),
    (
        ("patience",),
        """early_stopping early_stopping_patience early_stop early_stopping_rounds
        n_iter_no_change""",
    ),
    (("precision",), "amp dtype mixed_precision fp16 bf16 torch_dtype half"),
    (("weight_decay",), "l2 wd alpha_l2 weight_decay_rate"),
    (
        ("warmup_share",),
        "warmup warmup_steps num_warmup_steps lr_warmup warmup_epochs lr_warmup_steps",
    ),
    (("ema",), "ema_decay use_ema moving_average"),
    (("beta",), "kl_weight kld_weight kl_coeff kl_coef beta_kl reg_weight"),
    (("net",), "network networks architecture arch backbone nets"),
    (("width",), "hidden_size hidden_sizes hidden_dims hidden_layer_sizes n_hidden channels"),
    (("encoder", "net"), "encoder_net enc encoder_network encoder_cls"),
    (("decoder", "net"), "decoder_net dec decoder_network decoder_cls"),
    (
        ("likelihood",),
        """reconstruction_loss recon_loss loss_fn reconstruction output_distribution
        distribution decoder_distribution""",
    ),
    (("condition",), "conditional class_conditional num_classes n_classes condition_on cond"),
    (("image_size",), "size img_size resize resolution input_size target_size"),
    (
        ("out",),
        """save_dir output_dir out_dir save_path default_root_dir log_dir save_to folder
        checkpoint_dir path outdir output""",
    ),
    (("progress",), "verbose quiet enable_progress_bar progress_bar show_progress disable_tqdm"),
    (("callbacks",), "callback listener listeners hooks logger on_epoch on_epoch_end loggers"),
    (("overwrite",), "exist_ok force replace"),
    (("compile",), "torch_compile jit use_compile"),
    (("epochs", "lr", "batch_size"), "trainer_config training_args optimizer_kwargs"),
    (("label",), "label_column target_column y_column labels_column"),
    (("valid",), "validation val val_split validation_split val_size valid_size validation_data"),
    (("test",), "test_split test_size test_data x_test"),
    # settings of the estimators for scikit-learn
    (("n_components",), "latent latent_dim z_dim n_latent"),
    (("learning_rate",), "lr"),
    (("random_state",), "seed"),
    (("max_steps",), "epochs max_epochs n_epochs num_epochs max_iter n_iter"),
    # arguments of verbs
    (("n",), "num_samples n_samples size count num number k num_images n_images batch"),
    (("temperature",), "temp tau std scale truncation psi"),
    (("steps",), "num_steps n_steps num n points granularity n_points"),
    (("dimensions",), "dim dims dimension axis latents latent_dims indices index"),
    (
        ("draw", "temperature"),
        "stochastic deterministic use_mean return_mean sample_posterior sample",
    ),
    (("samples",), "num_samples n_samples k iwae_samples n_mc"),
    # what a run does
    (
        ("encode",),
        """transform embed fit_transform get_latent get_latents latent_representation
        get_latent_representation embedding embeddings encoder_forward infer predict_latent mu
        posterior_mean mean to_latent project codes_of""",
    ),
    (("decode",), "inverse_transform unembed from_latent decoder_forward inverse decode_latents"),
    (
        ("sample",),
        """generate generation sampler draw_samples random_samples synthesize rvs
        sample_images prior_sample""",
    ),
    (
        ("reconstruct",),
        """predict forward autoencode reconstruction reconstructions recon
        reconstruct_from denoise rec call""",
    ),
    (
        ("log_prob",),
        """score_samples log_likelihood get_nll nll log_px logp likelihoods density pdf
        log_density marginal_likelihood logpdf loglikelihood iwae""",
    ),
    (
        ("score",),
        """elbo anomaly_score anomaly_scores decision_function outlier_score
        reconstruction_error reconstruction_errors loss_per_example neg_elbo get_loss""",
    ),
    (("save",), "save_pretrained save_model dump export to_disk to_onnx push_to_hub"),
    (
        ("load", "vaelab.load"),
        """load load_from_folder from_pretrained load_model load_run restore
        load_from_checkpoint read open automodel load_from_hf_hub from_folder from_disk
        load_weights load_state""",
    ),
    (("vary",), "variations perturb augment neighbours neighbors posterior_samples"),
    (("interpolate",), "interpolation lerp slerp walk morph latent_walk interpolations"),
    (("traverse",), "traversal traversals latent_traversal sweep_latent"),
    (("conditioned_on",), "set_condition with_condition condition_on class_conditional"),
    (("to",), "cuda cpu gpu"),
    (
        ("training",),
        """plan config hparams hyperparameters settings training_config args params
        get_params hyper_parameters""",
    ),
    (
        ("history",),
        """losses loss log logs metrics callback_metrics loss_curve train_losses
        loss_history history_ summary logged_metrics curve training_history loss_curve_""",
    ),
    (("latent",), "latent_dim latent_size n_components latent_dims"),
    (("plot",), "plots show figure figures plot_samples visualize viz imshow"),
    (("device",), "devices"),
    (("model.parameters",), "parameters named_parameters num_parameters n_parameters count_params"),
    (("model.state_dict",), "state_dict weights get_weights load_state_dict"),
    (
        ("model",),
        """eval train build module net network autoencoder vae half float double modules
        requires_grad_ core_module""",
    ),
    (("model.encoder",), "encoder"),
    (("model.generator.decoder",), "decoder"),
    (("model.generator.prior",), "prior_ prior_distribution p_z pz"),
    (("model.generator.likelihood",), "likelihood"),
    (("model.generator.posterior",), "posterior q_z qz approximate_posterior latent_dist"),
    (("recipe.objective",), "objective loss_fn criterion loss_function"),
    (("codes",), "latents latent_stats latent_codes latent_space z"),
    (
        ("spec",),
        """shape data_spec input_dim input_shape data_shape classes columns n_features_in_
        feature_names_in_""",
    ),
    (("recipe",), "name model_name config model_config recipe_name architecture"),
    # figures
    (("samples",), "sample generated"),
    (("reconstructions",), "reconstruction recon comparison reconstruct"),
    (("latent_map",), "latent latents latent_space embedding codes scatter umap tsne z"),
    (("training",), "history loss losses curves training_curve learning_curve loss_curve"),
    (("traversal",), "traversals latent_traversal traverse dimensions"),
    (("interpolation",), "interpolations walk interpolate"),
    # data
    (("train.x", "x"), "data images values array features to_numpy"),
    (("train.y",), "labels targets target y classes_ label"),
    (("spec.shape",), "shape input_dim input_shape size"),
    (("spec.classes",), "classes class_names num_classes n_classes label_names"),
    (("notes",), "info describe summary report warnings"),
    (("valid",), "val validation dev"),
    (("test",), "heldout held_out testset test_set"),
    (("train",), "training_data trainset train_set train_data"),
    # the package
    (
        ("vaelab.train",),
        """Trainer fit_model training_pipeline TrainingPipeline run_training
        BaseTrainer pipeline""",
    ),
    (
        ("vaelab.Plan",),
        """TrainerConfig BaseTrainerConfig TrainingArguments TrainConfig
        TrainingConfig training_plan Trainer_config""",
    ),
    (("vaelab.load",), "AutoModel"),
    (
        ("vaelab.load_data",),
        """Dataset dataset load_dataset datasets DataModule data_module
        get_dataset read_data ImageFolder DataLoader from_numpy BaseDataset DatasetDict
        LightningDataModule make_dataset""",
    ),
    (
        ("vaelab.recipes",),
        """models list_models list_recipes create_model model_zoo zoo
        VAEConfig BaseAE AutoencoderKL Autoencoder model_entrypoint is_model get_model recipe_names
        available_models""",
    ),
    (("vaelab.recipes.vae",), "VAE VAEConfig AutoencoderKL VariationalAutoencoder VAEModel"),
    (("vaelab.recipes.ae",), "AE Autoencoder AEModel AEConfig"),
    (("vaelab.recipes.vq",), "VQVAE VQModel VQ_VAE VQVAEConfig"),
    (("vaelab.recipes.vq2",), "VQVAE2 VQ_VAE_2"),
    (
        ("vaelab.evaluate",),
        """evaluate evaluation score_model metrics evaluation_pipeline fid
        EvaluationPipeline compute_metrics benchmark judge""",
    ),
    (("vaelab.metrics",), "metric scores fid_score"),
    (("vaelab.compare",), "compare comparison versus compare_runs diff"),
    (
        ("vaelab.doctor",),
        "doctor diagnose diagnosis check examine debug validate health inspect lint",
    ),
    (
        ("vaelab.sweep",),
        """sweep grid_search GridSearch tune hyperparameter_search hyperopt search
        sweeps optuna""",
    ),
    (("vaelab.understand",), "understand explain tutorial demo explore why"),
    (("vaelab.Distortion",), "ReconstructionLoss MSE MSELoss BCE reconstruction_loss"),
    (("vaelab.Rate",), "KL KLD KLDivergence kl_divergence kl_loss KLLoss"),
    (("vaelab.Distortion() + vaelab.Rate()",), "ELBO VAELoss vae_loss elbo_loss loss"),
    (("vaelab.ImportanceWeighted",), "IWAELoss IWELBO iwae_loss"),
    (("vaelab.recipe",), "register_model register_recipe register add_recipe"),
    (("vaelab.picture",), "show imshow make_grid save_image plot_images"),
    (("vaelab.plots",), "plot plotting visualization viz"),
    (
        ("vaelab.fit_prior",),
        """fit_prior fit_gmm GaussianMixtureSampler NormalSampler MAFSampler sampler
        IAFSampler TwoStageVAESampler""",
    ),
    (
        ("vaelab.sklearn.VAETransformer",),
        """Transformer VAETransform VAEReducer VAEEncoder
        DimensionalityReduction VAEEmbedding""",
    ),
    (
        ("vaelab.sklearn.VAEOutlierDetector",),
        """VAEDetector AnomalyDetector OutlierDetector
        VAEAnomalyDetector""",
    ),
    (("vaelab.sklearn.VAEDensity",), "VAEDensityEstimator DensityEstimator KernelDensity"),
    (("vaelab.sklearn",), "scikit sk estimators VAETransformer VAEDensity VAEOutlierDetector"),
    (("vaelab.nets",), "Encoder Decoder MLP networks encoders decoders MLPEncoder ConvEncoder"),
    (
        ("vaelab.distributions",),
        """Normal Bernoulli Gaussian Categorical Distribution distribution
        Laplace StudentT""",
    ),
    (("vaelab.parts",), "layers modules priors posteriors likelihoods Prior Posterior Likelihood"),
    (("vaelab.objectives",), "losses loss objective criterion criteria"),
    (("vaelab.Plan(seed=…)",), "seed_everything manual_seed set_seed seed"),
    (("vaelab.Run",), "Model TrainedModel model"),
    # names of values
    (("gaussian",), "mse normal l2 gauss squared squared_error"),
    (("bernoulli",), "bce binary_cross_entropy binary crossentropy"),
    (("laplace",), "l1 mae absolute_error"),
    (("categorical",), "cross_entropy softmax ce"),
    (("student",), "student_t studentt t"),
    (("discretized-logistic",), "dlogistic logistic discretized"),
    (("logistic-mixture",), "dmol discretized_mix_logistic"),
    (("negative-binomial",), "nb negbin"),
    (("zero-inflated",), "zinb"),
    (("mixture",), "gmm gaussian_mixture mog"),
    (("flow",), "maf realnvp normalizing_flow"),
    (("conv",), "cnn convolutional convnet"),
    (("resconv",), "resnet residual"),
    (("mlp",), "dense linear fc perceptron"),
    # recipes
    (("vae",), "variational_autoencoder vanilla_vae autoencoder_kl"),
    (("ae",), "autoencoder plain_autoencoder"),
    (("capacity",), "disentangled_beta_vae annealed_beta_vae"),
    (("hyperspherical",), "svae s_vae vmf"),
    (("vamp",), "vamp_prior vampprior"),
    (("deep_ladder",), "nvae vdvae very_deep_vae hvae hierarchical"),
    (("ladder",), "lvae ladder_vae"),
    (("wae_mmd",), "wae mmd_vae mmdvae"),
    (("rae",), "rae_l2 rae_gp regularized_autoencoder"),
    (("vq",), "vqgan vector_quantized vq_model"),
    (("vq2",), "vqvae2"),
    (("concrete", "gumbel"), "gumbel_softmax categorical_vae discrete"),
    (("vae_gan",), "gan"),
    (("beta_vae",), "b_vae bvae"),
    (("annealed",), "kl_annealing cyclical cyclic"),
    (("planar", "iaf"), "normalizing_flow_vae linnf vae_linnf"),
    (("full_covariance",), "full_rank full_cov"),
)


def squashed(name: str) -> str:
    """A name in lower case, without separators.

    >>> squashed("Latent-Dim"), squashed("BetaVAE") == squashed("beta_vae")
    ('latentdim', True)
    """
    return "".join(sign for sign in name.lower() if sign.isalnum())


def _inverted() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for ours, words in _GROUPS:
        for word in words.split():
            key = squashed(word)
            found[key] = tuple(dict.fromkeys((*found.get(key, ()), *ours)))
    return found


FOREIGN = _inverted()
"""Our names by the squashed foreign word; the reader chooses those that exist at the place."""
