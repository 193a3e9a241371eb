# The flow, one rule a step, in order. Every rule runs one verb of `ris`; settings are in config.yaml.
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from pipeline.safety import InputError
from pipeline.workflow import (
    code_of,
    commit_to_dvc,
    flow_of,
    hold_run_lock,
    use_this_python,
    write_resolved,
)

min_version("9.0")


configfile: "config.yaml"


use_this_python()
try:
    flow = flow_of(config)
except InputError as error:
    raise WorkflowError(str(error)) from None
layout = flow.layout
training_threads = flow.config.machine.training_threads
devices = flow.config.machine.devices
# On two cores a reference that learns from true masks would take one of them while Stage-1 and refining,
# which all else waits for, are not done. So it waits: 60 and 50 together are more than the profile's 100.
# Drawing the graph, reporting and unlocking name no cores at all, and `workflow.cores` would refuse that.
# On a cluster (`jobs` in its profile) these are the cores of the login node, which say nothing.
few_cores = workflow.resource_settings.nodes is None and (
    (workflow.resource_settings.cores or 0) <= 2 * training_threads
)


localrules:
    all,


wildcard_constraints:
    run=flow.any_run,
    shard="[0-9]+",
    weights="[^/]+",


onstart:
    try:
        hold_run_lock()
    except InputError as error:
        raise WorkflowError(str(error)) from None
    write_resolved(flow)


onsuccess:
    commit_to_dvc(flow, {str(path) for job in workflow.dag.jobs for path in job.output})


rule all:
    input:
        layout.metrics,
        layout.ladder,
        layout.report,
        layout.figures,
        flow.ablation(),


if flow.draws_its_data:

    rule miniature:
        input:
            code=code_of("miniature"),
        output:
            directory(flow.folder),
        log:
            "logs/miniature.log",
        benchmark:
            flow.benchmark("miniature")
        conda:
            "envs/pipeline.yaml"
        threads: flow.config.machine.shards
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=30,
        params:
            config=flow.resolved,
            settings=flow.settings("miniature"),
        shell:
            "python -m pipeline.cli miniature --config {params.config} --threads {threads} > {log} 2>&1"


if flow.fetches_its_data:

    rule download:
        input:
            code=code_of("download"),
        output:
            directory(flow.folder),
        log:
            "logs/download.log",
        benchmark:
            flow.benchmark("download")
        localrule: True  # where the cluster's nodes have no internet, the login node has
        conda:
            "envs/pipeline.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=1440,
        params:
            config=flow.resolved,
            settings=flow.settings("download"),
        shell:
            "python -m pipeline.cli download --dataset-only --config {params.config}"
            " --threads {threads} > {log} 2>&1"


if flow.fetched_weights:

    rule weights:
        output:
            layout.weights("{weights}"),
        log:
            "logs/weights-{weights}.log",
        benchmark:
            flow.benchmark("weights-{weights}")
        localrule: True
        conda:
            "envs/pipeline.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 1000 * attempt,
            runtime=600,
        params:
            config=flow.resolved,
            source=lambda wildcards: flow.source_of_weights(wildcards.weights),
        shell:
            "python -m pipeline.cli download {params.source} --config {params.config}"
            " --threads {threads} > {log} 2>&1"


rule captions:
    input:
        code=code_of("captions"),
    output:
        layout.captions,
    log:
        "logs/captions.log",
    benchmark:
        flow.benchmark("captions")
    conda:
        "envs/pipeline.yaml"
    threads: flow.config.machine.shards
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        config=flow.resolved,
        settings=flow.settings("captions"),
    shell:
        "python -m pipeline.cli captions --config {params.config} --threads {threads} > {log} 2>&1"


rule pretrain:
    input:
        captions=layout.captions,
        code=code_of("pretrain"),
    output:
        **layout.small_clip_files,
    log:
        "logs/pretrain.log",
    benchmark:
        flow.benchmark("pretrain")
    conda:
        "envs/pipeline.yaml"
    threads: flow.config.machine.pretraining_threads * devices
    resources:
        **flow.across_nodes,
        mem_mb=lambda wildcards, attempt: 3000 * devices * attempt,
        runtime=240,
    params:
        config=flow.resolved,
        settings=flow.settings("pretrain"),
    shell:
        "python -m pipeline.cli pretrain --config {params.config} --threads {threads} > {log} 2>&1"


rule mask_scenes:
    input:
        code=code_of("mask_scenes"),
    output:
        layout.mask_scenes,
    log:
        "logs/mask_scenes.log",
    benchmark:
        flow.benchmark("mask_scenes")
    conda:
        "envs/pipeline.yaml"
    threads: flow.config.machine.shards
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        config=flow.resolved,
        settings=flow.settings("mask_scenes"),
    shell:
        "python -m pipeline.cli mask-scenes --config {params.config} --threads {threads} > {log} 2>&1"


rule pretrain_sam:
    input:
        scenes=layout.mask_scenes,
        code=code_of("pretrain_sam"),
    output:
        **layout.small_sam_files,
    log:
        "logs/pretrain_sam.log",
    benchmark:
        flow.benchmark("pretrain_sam")
    conda:
        "envs/pipeline.yaml"
    threads: flow.config.machine.pretraining_threads * devices
    resources:
        **flow.across_nodes,
        mem_mb=lambda wildcards, attempt: 3000 * devices * attempt,
        runtime=240,
    params:
        config=flow.resolved,
        settings=flow.settings("pretrain_sam"),
    shell:
        "python -m pipeline.cli pretrain-sam --config {params.config} --threads {threads} > {log} 2>&1"


rule pretrain_llm:
    input:
        prompt=flow.cue_prompt(),
        code=code_of("pretrain_llm"),
    output:
        **layout.small_llm_files,
    log:
        "logs/pretrain_llm.log",
    benchmark:
        flow.benchmark("pretrain_llm")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    threads: training_threads * devices
    resources:
        **flow.across_nodes,
        mem_mb=lambda wildcards, attempt: 2000 * devices * attempt,
        runtime=120,
    params:
        config=flow.resolved,
        settings=flow.settings("pretrain_llm"),
    shell:
        "python -m pipeline.cli pretrain-llm --config {params.config} --threads {threads} > {log} 2>&1"


rule tables:
    input:
        folder=flow.folder,
        sources=flow.sources,
        code=code_of("tables"),
    output:
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        truth=layout.table("truth"),
        objects=layout.table("objects"),
    log:
        "logs/tables.log",
    benchmark:
        flow.benchmark("tables")
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        config=flow.resolved,
        settings=flow.settings("tables"),
    shell:
        "python -m pipeline.cli tables --config {params.config} --threads {threads} > {log} 2>&1"


rule decompose:
    input:
        expressions=layout.table("expressions"),
        model=flow.cue_files(),
        code=code_of("decompose"),
    output:
        layout.cues("{shard}"),
    log:
        "logs/decompose-{shard}.log",
    benchmark:
        flow.benchmark("decompose-{shard}")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    threads: training_threads
    resources:
        mem_mb=lambda wildcards, attempt: flow.cue_memory_mb * attempt,
        runtime=1440,
    params:
        config=flow.resolved,
        settings=flow.settings("decompose"),
    shell:
        "python -m pipeline.cli decompose --config {params.config} --shard {wildcards.shard}"
        " --threads {threads} > {log} 2>&1"


rule propose:
    input:
        pictures=ancient(flow.folder),
        images=layout.table("images"),
        sam=flow.sam(None, "propose"),
        code=code_of("propose"),
    output:
        layout.proposals("{shard}"),
    log:
        "logs/propose-{shard}.log",
    benchmark:
        flow.benchmark("propose-{shard}")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (2000 + flow.loaded_mb(input.sam)) * attempt,
        runtime=240,
    params:
        config=flow.resolved,
        settings=flow.settings("propose"),
    shell:
        "python -m pipeline.cli propose --config {params.config} --shard {wildcards.shard}"
        " --threads {threads} > {log} 2>&1"


rule train_localizer:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        encoder=lambda wildcards: flow.encoder(wildcards.run),
        critic=lambda wildcards: flow.critic(wildcards.run),
        cues=lambda wildcards: flow.cues(wildcards.run),
        proposals=lambda wildcards: flow.learned_proposals(wildcards.run),
        code=code_of("train_localizer"),
    output:
        weights=layout.localizer("{run}"),
        curves=layout.curves("{run}", "localizer"),
    log:
        "logs/train_localizer-{run}.log",
    benchmark:
        flow.benchmark("train_localizer-{run}")
    priority: 20
    conda:
        "envs/pipeline.yaml"
    threads: training_threads * devices
    resources:
        **flow.across_nodes,
        patience=50 if few_cores else 0,
        mem_mb=lambda wildcards, attempt: 3000 * devices * attempt,
        runtime=1440,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("train_localizer", wildcards.run),
    shell:
        "python -m pipeline.cli train-localizer --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule respond:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        encoder=lambda wildcards: flow.encoder(wildcards.run),
        localizer=lambda wildcards: flow.localizer(wildcards.run),
        cues=lambda wildcards: flow.cues(wildcards.run),
        code=code_of("respond"),
    output:
        layout.responses("{run}"),
    log:
        "logs/respond-{run}.log",
    benchmark:
        flow.benchmark("respond-{run}")
    priority: 20
    conda:
        "envs/pipeline.yaml"
    threads: training_threads
    resources:
        patience=50 if few_cores else 0,
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=240,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("respond", wildcards.run),
    shell:
        "python -m pipeline.cli respond --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule label_irnet:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        responses=lambda wildcards: flow.responses(wildcards.run),
        critic=lambda wildcards: flow.critic(wildcards.run),
        proposals=lambda wildcards: flow.proposals(
            wildcards.run, wildcards.shard, step="label_irnet"
        ),
        sam=lambda wildcards: flow.sam(wildcards.run, "label_irnet"),
        code=code_of("label_irnet"),
    output:
        layout.irnet_labels("{run}", "{shard}"),
    log:
        "logs/label_irnet-{run}-{shard}.log",
    benchmark:
        flow.benchmark("label_irnet-{run}-{shard}")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (2000 + flow.loaded_mb(input.sam)) * attempt,
        runtime=480,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("label_irnet", wildcards.run),
    shell:
        "python -m pipeline.cli label-irnet --config {params.config} --run {wildcards.run}"
        " --shard {wildcards.shard} --threads {threads} > {log} 2>&1"


rule train_irnet:
    input:
        pictures=ancient(flow.folder),
        images=layout.table("images"),
        trunk=lambda wildcards: flow.irnet_trunk(wildcards.run),
        labels=lambda wildcards: flow.irnet_labels(wildcards.run),
        code=code_of("train_irnet"),
    output:
        weights=layout.irnet("{run}"),
        curves=layout.curves("{run}", "irnet"),
    log:
        "logs/train_irnet-{run}.log",
    benchmark:
        flow.benchmark("train_irnet-{run}")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    threads: training_threads * devices
    resources:
        **flow.across_nodes,
        mem_mb=lambda wildcards, attempt: 3000 * devices * attempt,
        runtime=1440,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("train_irnet", wildcards.run),
    shell:
        "python -m pipeline.cli train-irnet --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule refine:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        responses=lambda wildcards: flow.responses(wildcards.run),
        critic=lambda wildcards: flow.critic(wildcards.run),
        proposals=lambda wildcards: flow.proposals(wildcards.run, wildcards.shard, step="refine"),
        sam=lambda wildcards: flow.sam(wildcards.run, "refine"),
        irnet=lambda wildcards: flow.irnet(wildcards.run),
        irnet_trunk=lambda wildcards: flow.irnet_trunk(wildcards.run),
        code=code_of("refine"),
    output:
        layout.pseudo_labels("{run}", "{shard}"),
    log:
        "logs/refine-{run}-{shard}.log",
    benchmark:
        flow.benchmark("refine-{run}-{shard}")
    priority: 10
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: (2000 + flow.loaded_mb(input.sam)) * attempt,
        runtime=480,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("refine", wildcards.run),
    shell:
        "python -m pipeline.cli refine --config {params.config} --run {wildcards.run}"
        " --shard {wildcards.shard} --threads {threads} > {log} 2>&1"


rule train_segmentor:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        encoder=lambda wildcards: flow.encoder(wildcards.run),
        teachers=lambda wildcards: flow.teachers(wildcards.run),
        code=code_of("train_segmentor"),
    output:
        weights=layout.segmentor("{run}"),
        curves=layout.curves("{run}", "segmentor"),
    log:
        "logs/train_segmentor-{run}.log",
    benchmark:
        flow.benchmark("train_segmentor-{run}")
    conda:
        "envs/pipeline.yaml"
    threads: training_threads * devices
    resources:
        **flow.across_nodes,
        patience=lambda wildcards: (
            (60 if flow.is_supervised(wildcards.run) else 40) if few_cores else 0
        ),
        mem_mb=lambda wildcards, attempt: 3000 * devices * attempt,
        runtime=1440,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("train_segmentor", wildcards.run),
    shell:
        "python -m pipeline.cli train-segmentor --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule segment:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        encoder=lambda wildcards: flow.encoder(wildcards.run),
        segmentor=lambda wildcards: flow.segmentor(wildcards.run),
        sam=lambda wildcards: flow.sam(wildcards.run, "segment"),
        code=code_of("segment"),
    output:
        layout.predictions("{run}"),
    log:
        "logs/segment-{run}.log",
    benchmark:
        flow.benchmark("segment-{run}")
    conda:
        "envs/pipeline.yaml"
    threads: training_threads
    resources:
        mem_mb=lambda wildcards, input, attempt: (3000 + flow.loaded_mb(input.sam)) * attempt,
        runtime=240,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("segment", wildcards.run),
    shell:
        "python -m pipeline.cli segment --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule evaluate:
    input:
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        truth=layout.table("truth"),
        objects=layout.table("objects"),
        rungs=lambda wildcards: flow.rungs(wildcards.run),
        code=code_of("evaluate"),
    output:
        metrics=layout.run_metrics("{run}"),
        expressions=layout.run_expressions("{run}"),
    log:
        "logs/evaluate-{run}.log",
    benchmark:
        flow.benchmark("evaluate-{run}")
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=120,
    params:
        config=flow.resolved,
        settings=lambda wildcards: flow.settings("evaluate", wildcards.run),
    shell:
        "python -m pipeline.cli evaluate --config {params.config} --run {wildcards.run}"
        " --threads {threads} > {log} 2>&1"


rule report:
    input:
        pictures=ancient(flow.folder),
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        truth=layout.table("truth"),
        measured=flow.measured(),
        pictured=flow.pictured(),
        code=code_of("report"),
    output:
        metrics=layout.metrics,
        ladder=directory(layout.ladder),
        page=report(layout.report, category="Results"),
        figures=directory(layout.figures),
        ablation=flow.ablation(),
    log:
        "logs/report.log",
    benchmark:
        flow.benchmark("report")
    conda:
        "envs/pipeline.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
    params:
        config=flow.resolved,
        settings=flow.settings("report"),
    shell:
        "python -m pipeline.cli report --config {params.config} --threads {threads} > {log} 2>&1"
