"""The right model is found, or the error says what to do."""

import numpy as np
import pytest

from exporter.embedding import encoders, models
from exporter.errors import ModelError
from exporter.records import Collection, RecordedModel


def a_collection(dimension=384, model=None):
    return Collection("docs", 10, dimension, "l2", "default", model)


class Fixed:
    """A LangChain `Embeddings`, as far as anybody needs one."""

    def embed_documents(self, texts):
        return [[1.0, 2.0]] * len(texts)

    def embed_query(self, text):
        return [3.0, 4.0]


def test_minilm_for_384_dimensions():
    """With nothing recorded, 384 dimensions get all-MiniLM-L6-v2, from the package and without a hub."""
    model = models.load_model("auto", a_collection())
    assert model.name == "all-MiniLM-L6-v2"
    assert model.host is None
    vectors = model.embed_questions(["How do I pause?", "How do I pause?"])
    assert vectors.shape == (2, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], model.embed_chunks(["How do I pause?"])[0], atol=1e-6)


@pytest.mark.parametrize(
    "recorded",
    [
        RecordedModel("default"),
        RecordedModel("sentence_transformer", {"model_name": "sentence-transformers/all-MiniLM-L6-v2"}),
    ],
)
def test_recorded_models(recorded):
    """What the collection records is used: Chroma's default, or a sentence-transformers name."""
    model = models.load_model("auto", a_collection(model=recorded))
    assert (model.name, model.origin) == ("all-MiniLM-L6-v2", "recorded by the collection")


def test_a_recorded_model_that_cannot_be_loaded(monkeypatch):
    """A recorded function that can't be built gives way to the usual model, which says so, or to an error."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    recorded = RecordedModel("openai", {"model_name": "text-embedding-3-small", "api_key_env_var": "NO_SUCH_KEY"})
    model = models.load_model("auto", a_collection(model=recorded))
    assert "records 'openai', which can't be used" in model.origin
    with pytest.raises(ModelError, match="1536"):
        models.load_model("auto", a_collection(1536, recorded))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("openai", {"api_base": "https://evil.example/v1"}),
        ("openai", {"api_base": "http://localhost.evil.example"}),
        ("huggingface_server", {"url": "http://10.0.0.1/"}),
        ("ollama", {"url": "https://evil.example", "model_name": "x"}),
        ("amazon_bedrock", {"model_name": "x", "session_args": {}, "kwargs": {"endpoint_url": "https://evil.example"}}),
        ("roboflow", {"api_url": ["https://evil.example"]}),
    ],
)
def test_a_recorded_address_gets_nothing(monkeypatch, name, config):
    """A collection that names an address of its own for a model gets no question and no key sent there."""
    built = []
    monkeypatch.setenv("THE_KEY", "s3cret")
    monkeypatch.setattr(
        "chromadb.utils.embedding_functions.config_to_embedding_function", lambda config: built.append(config)
    )
    recorded = RecordedModel(name, {"api_key_env_var": "THE_KEY", **config})
    with pytest.raises(ModelError, match="which would get your questions"):
        models.load_model("auto", a_collection(1536, recorded))
    assert built == []


def test_an_address_however_deep():
    """An address is found wherever it stands in what was recorded."""
    config = {"url": "https://evil.example"}
    for _ in range(5000):
        config = {"more": [config]}
    with pytest.raises(ModelError, match=r"asks https://evil\.example, which would get your questions"):
        models.load_model("auto", a_collection(1536, RecordedModel("openai", config)))


def test_a_recorded_model_that_does_not_fit():
    """A recorded model of another dimension gives way to the usual one, or to an error that says what was recorded."""
    recorded = RecordedModel("default")
    with pytest.raises(ModelError, match=r"records 'default', which can't be used.*384.*--question-vector"):
        models.load_model("auto", a_collection(768, recorded))


def test_an_unknown_dimension():
    """With no model to be found, the error names the dimension, models that have it, and both ways out."""
    with pytest.raises(ModelError) as told:
        models.load_model("auto", a_collection(768))
    for part in ("768", "all-mpnet-base-v2", "--model", "--question-vector"):
        assert part in str(told.value)


def test_a_model_that_cannot_be_loaded():
    """A name that is nowhere is one line that says what to do."""
    with pytest.raises(ModelError, match=r"'./no/such/folder' can't be loaded.*--question-vector"):
        models.load_model("./no/such/folder", a_collection())


def test_a_langchain_model():
    """Any object with LangChain's two methods is a model."""
    model = models.load_model(Fixed(), a_collection(2))
    assert model.name == "Fixed"
    assert model.embed_questions(["a"]).tolist() == [[3.0, 4.0]]
    assert model.embed_chunks(["a", "b"]).tolist() == [[1.0, 2.0]] * 2


def test_another_dimension():
    """A model of another dimension is refused, with models that fit."""
    with pytest.raises(ModelError, match=r"has 2 dimensions, the collection 'docs' has 384.*MiniLM"):
        models.fit(np.ones((1, 2), np.float32), a_collection(), "the model x")


def test_a_model_that_fails():
    """An exception of the model's own, and NaN, are one line."""

    class Broken(Fixed):
        def embed_query(self, text):
            raise ValueError("no credit\nleft")

    class Nan(Fixed):
        def embed_query(self, text):
            return [float("nan"), 1.0]

    with pytest.raises(ModelError, match="no credit"):
        models.load_model(Broken(), a_collection(2)).embed_questions(["a"])
    with pytest.raises(ModelError, match="no usable vectors"):
        models.load_model(Nan(), a_collection(2)).embed_questions(["a"])


def test_other_weights_are_refused(monkeypatch):
    """The packaged weights are used only when they are the published ones."""
    monkeypatch.setattr(encoders, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the published ones"):
        models.load_model("all-MiniLM-L6-v2", a_collection())
