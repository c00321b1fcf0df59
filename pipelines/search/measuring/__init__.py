"""How good and how fast answers are: metrics, labelled queries, ablation, tuning."""
