"""The steps of a query, one module each, in their order."""

from pipelines.search.retrieval import Stage
from pipelines.search.stages.diversify import Diversify
from pipelines.search.stages.encode import Encode
from pipelines.search.stages.expand import Expand
from pipelines.search.stages.explain import Explain
from pipelines.search.stages.further import Further
from pipelines.search.stages.fuse import Fuse
from pipelines.search.stages.govern import Govern
from pipelines.search.stages.judge import Judge
from pipelines.search.stages.modality import DetectModality
from pipelines.search.stages.normalise import Normalise
from pipelines.search.stages.personalise import Personalise
from pipelines.search.stages.rerank import Rerank
from pipelines.search.stages.reword import Reword
from pipelines.search.stages.search import Search
from pipelines.search.stages.union import Union
from pipelines.search.stages.widen import Widen

# Words are guessed before anything is encoded, since they are encoded too.
ASKING: tuple[Stage, ...] = (Normalise(), DetectModality(), Expand(), Encode())
_FINDING: tuple[Stage, ...] = (Search(), Union(), Fuse())
SHOWING: tuple[Stage, ...] = (Govern(), Explain())
RANKING: tuple[Stage, ...] = (
    *_FINDING,
    Widen(_FINDING),
    Reword((Encode(), *_FINDING)),
    Further(_FINDING),
    Judge(),
    Personalise(),
    Rerank(),
    Diversify(),
)
ANSWERING = (*RANKING, *SHOWING)
STAGES = (*ASKING, *ANSWERING)
