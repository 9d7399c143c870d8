#!/bin/bash
# Makes the shipped models and the baselines beside them: all data synthetic but brain-regions. Hours on two CPU cores.
#   bash training/shipped.sh data|train|export
# Every run starts again where it was; steps are chosen so that the runs of a task take the same CPU minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
models=VeloxSegSlicer/Resources/Models
# CPU recipe: without teachers and deep supervision, which would take half of the time
light="--veloxseg.no-teachers --veloxseg.no-deep-supervision"
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=100000000

phantoms() {  # kind, card, folder, training cases, validation cases, test cases
  $python training/prepare.py phantom --kind "$1" --card "training/cards/$2.json" --output "data/$3" --workers 2 \
    --train 10000 $((10000 + $4)) --validation 20000 $((20000 + $5)) --test 30000 $((30000 + $6))
}

runs() {  # kind of run, folder, steps of veloxseg, unet and segresnet, options of all
  local kind=$1 folder=$2 veloxseg=$3 unet=$4 segresnet=$5; shift 5
  local common=(--device cpu --data.folder "data/$folder" --learning-rate 8e-4 "$@")
  $python training/train.py "$kind" --run "runs/$folder" "${common[@]}" --steps "$veloxseg" $light
  $python training/train.py "$kind" --run "runs/$folder-unet" "${common[@]}" --steps "$unet" --network unet
  $python training/train.py "$kind" --run "runs/$folder-segresnet" "${common[@]}" --steps "$segresnet" --network segresnet
}

case "${1:-}" in
  data)
    phantoms petct petct-lesions-demo petct 90 8 30
    phantoms head-neck-petct head-neck-petct-demo head-neck 60 6 24
    phantoms brain-tumor-mri brain-tumor-mri-demo brain-tumor 60 6 24
    phantoms dermoscopy skin-lesion-nca-demo skin 1500 40 100 ;;
  train)
    runs cases petct 1000 800 250 --data.drop-modality 0 --validate-every 200
    runs cases brain-tumor 520 390 140 --data.drop-modality 0 --validate-every 130
    runs cases head-neck 440 325 135 --data.patch-size 128 128 64 --data.drop-modality 0 --validate-every 110
    # ten CPU minutes leave the nodes unfound by both networks: the one that is shipped goes on for as long again
    cp -r runs/head-neck runs/head-neck-440
    $python training/train.py cases --run runs/head-neck --device cpu --data.folder data/head-neck --data.patch-size 128 128 64 --learning-rate 8e-4 \
      --data.drop-modality 0 --validate-every 110 --steps 990 $light
    $python training/train.py brain-regions --run runs/brain-regions --device cpu
    photos=(--device cpu --data.folder data/skin --data.size 64)
    # half precision for processors with AMX; leave --cpu-bfloat16 away elsewhere
    automaton=("${photos[@]}" --steps 2800 --validate-every 400 --cpu-bfloat16)
    $python training/train.py skin-nca --run runs/skin-nca "${automaton[@]}"
    $python training/train.py skin-nca --run runs/skin-nca-direct "${automaton[@]}" --nca.prediction direct \
      --card training/cards/skin-lesion-nca-direct-demo.json
    photos+=(--card training/cards/skin-lesion-veloxseg-demo.json --validate-every 700)
    $python training/train.py skin-veloxseg --run runs/skin-veloxseg "${photos[@]}" --steps 5600 $light
    $python training/train.py skin-veloxseg --run runs/skin-unet "${photos[@]}" --steps 6100 --network unet ;;
  export)
    for folder in petct brain-tumor head-neck brain-regions; do
      $python training/export.py --run "runs/$folder" --output "$models"
    done
    for network in nca nca-direct veloxseg; do
      $python training/export.py --run "runs/skin-$network" --output "$models" \
        --card "training/cards/skin-lesion-$network-demo.json"
    done ;;
  *) sed -n '2,4p' "$0"; exit 2 ;;
esac
