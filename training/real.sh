#!/bin/bash
# Makes the models that were trained on real images (level "research"), from the public sets in ../shared/data or VELOXSEG_DATA.
#   bash training/real.sh data|train|test|export [RUN]
# Every run starts again where it was. CPU minutes are those of one core; weights are chosen on validation alone, and the test
# third is scored once, by `test`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
source=${VELOXSEG_DATA:-../shared/data}
cards=training/cards
models=VeloxSegSlicer/Resources/Models
# CPU recipe: without teachers and deep supervision, which would take half of the time
light="--veloxseg.no-teachers --veloxseg.no-deep-supervision"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=100000000
[ -d "$source" ] || { echo "No real images in $source; training/README.md says where anyone can get the public sets."; exit 1; }

list() {  # name, labels, spacing, further options
  local name=$1 labels=$2 spacing=$3; shift 3
  $python training/prepare.py list --source "data/lists/$name.csv" --card "$cards/$name.json" --labels $labels \
    --spacing-mm $spacing --output "data/$name" --workers 2 "$@"
}

train() {  # run, configuration, options
  local run=$1 kind=$2; shift 2
  $python training/train.py "$kind" --run "runs/$run" --device cpu --score validation "$@"
}

wanted() { [ -z "${only:-}" ] || [ "$only" = "$1" ]; }
step=${1:-} only=${2:-}

case "$step" in
  data)
    $python training/real_data.py --source "$source" --output data/lists
    derm=$source/derm_isic2017
    $python training/prepare.py isic --images "$derm/images" --masks "$derm/masks" --cases "$derm/cases.csv" \
      --card $cards/skin-lesion-veloxseg.json --output data/skin-isic2017 --workers 2
    list hippocampus-mri "Anterior Posterior" "1 1 1"
    list petct-sarcoma Tumor "4 4 4" --reference PET ;;
  train)
    if wanted skin-lesion-veloxseg; then
      train skin-lesion-veloxseg skin-veloxseg --data.folder data/skin-isic2017 --data.size 128 --learning-rate 1e-3 \
        --steps 9000 --validate-every 750 $light
    fi
    if wanted skin-lesion-nca-direct; then
      train skin-lesion-nca-direct skin-nca --data.folder data/skin-isic2017 --data.size 64 --nca.prediction direct \
        --init "$models/skin-lesion-nca-direct-demo" --card "$cards/skin-lesion-nca-direct.json" --steps 9000 --validate-every 600 \
        --cpu-bfloat16
    fi
    if wanted hippocampus-mri; then
      small=(--data.folder data/hippocampus-mri --data.patch-size 32 48 32 --veloxseg.patch-size 2 --data.label-centered 0.8
             --batch-size 4 $light)
      train hippocampus-mri-first cases "${small[@]}" --learning-rate 1e-3 --steps 2600 --validate-every 260
      # as long again without dropout, which small networks on small images do not need
      train hippocampus-mri cases "${small[@]}" --init runs/hippocampus-mri-first/best.pt --learning-rate 8e-4 --steps 2600 \
        --validate-every 260 --veloxseg.conv-drop 0 --veloxseg.attn-drop 0 --veloxseg.proj-drop 0
    fi
    if wanted hippocampus-mri-nca; then
      train hippocampus-mri-nca cases-nca --data.folder data/hippocampus-mri --data.patch-size 32 48 32 --data.label-centered 0.8 \
        --card "$cards/hippocampus-mri-nca.json" --batch-size 2 --steps 2000 --validate-every 200
    fi
    if wanted petct-sarcoma; then
      train petct-sarcoma cases --data.folder data/petct-sarcoma --data.patch-size 64 64 64 --data.cut 0.6 --data.joined 0.3 \
        --data.drop-modality 0.05 --learning-rate 1e-3 --steps 2200 --validate-every 200 $light
    fi
    if wanted brain-structures-mri; then
      heads=(--data.folder "$source/brain_labelmaps" --data.validation "$source/brain_t1_validation")
      train brain-structures-first brain-structures "${heads[@]}" --steps 2250 --validate-every 450
      train brain-structures-mri brain-structures "${heads[@]}" --init runs/brain-structures-first/best.pt --steps 4000 \
        --validate-every 500
    fi ;;
  test)
    if wanted skin-lesion-veloxseg; then
      $python training/evaluate.py --run runs/skin-lesion-veloxseg --by "$source/derm_isic2017/cases.csv" diagnosis
    fi
    if wanted skin-lesion-nca-direct; then
      $python training/evaluate.py --run runs/skin-lesion-nca-direct --card "$cards/skin-lesion-nca-direct.json" \
        --by "$source/derm_isic2017/cases.csv" diagnosis
    fi
    if wanted hippocampus-mri; then $python training/evaluate.py --run runs/hippocampus-mri; fi
    if wanted hippocampus-mri-nca; then
      $python training/evaluate.py --run runs/hippocampus-mri-nca --card "$cards/hippocampus-mri-nca.json"
    fi
    if wanted petct-sarcoma; then
      $python training/evaluate.py --run runs/petct-sarcoma
      $python training/moved_fields.py --data data/petct-sarcoma --output data/petct-sarcoma-moved
      $python training/evaluate.py --package "$models/petct-sarcoma" --data data/petct-sarcoma-moved
    fi
    if wanted brain-structures-mri; then $python training/evaluate_structures.py --run runs/brain-structures-mri; fi ;;
  export)
    for run in skin-lesion-veloxseg skin-lesion-nca-direct hippocampus-mri hippocampus-mri-nca petct-sarcoma; do
      if wanted $run; then $python training/export.py --run "runs/$run" --card "$cards/$run.json" --output "$models"; fi
    done ;;
  *) sed -n '2,5p' "$0"; exit 2 ;;
esac
