"""The report of an offline training as text."""

from molbuffer.flows.cli.campaigns.offline_report import report_text
from molbuffer.lab.offline.relabel import Relabelled
from molbuffer.lab.offline.report import OfflineReport
from molbuffer.training import DrawEvaluation, MoleculeQuality, OffPolicyEstimate

DATA = MoleculeQuality(80, 0.25, 0.5, 0.375, 0.75, 0.875)


def test_the_policy_stands_beside_its_data() -> None:
    report = OfflineReport(
        data=DATA,
        last=DATA,
        policy=DrawEvaluation(["C", None, "C", "CC"], None, novelty=0.5),
        off_policy=OffPolicyEstimate(0.5, 0.4, 0.6, 61.2, 90),
        held_out=90,
        validation_loss=1.25,
        criterion="best_likelihood",
        best_iteration=100,
        relabelled=Relabelled(10, 8, 6, 5, 1, 1),
        notes=["fresh draws have no reward: docking is expensive"],
    )
    lines = report_text(report.as_dict()).splitlines()
    (uniqueness,) = [line.split() for line in lines if line.strip().startswith("uniqueness")]
    assert any(line.strip().startswith("rows / draws") for line in lines)
    assert uniqueness == ["uniqueness", "0.75", "0.75", "0.6667"]
    (validity,) = [line.split() for line in lines if line.strip().startswith("validity")]
    assert validity == ["validity", "0.75"]
    assert "loss of 90 held-out rows: 1.25; the policy is the best by best_likelihood, from step 100" in lines
    estimate = (
        "off-policy estimate of the mean reward: 0.500 (0.400 to 0.600), effective sample size 61 of 90 held-out rows"
    )
    assert estimate in lines
    assert any(line.startswith("relabelled: 8 of 10 rows") for line in lines)
    assert lines[-1] == report.notes[0]


def test_what_is_not_there_is_not_shown() -> None:
    text = report_text(OfflineReport(data=DATA, last=DATA, off_policy=OffPolicyEstimate(refused="no rows")).as_dict())
    assert not any(word in text for word in ("novelty", "estimate", "relabelled", "held-out"))
