"""Topics: a frame says who it is from and which way it travels."""

from wire import topics
from wire.errors import WrongTopic

METER = b"\x90\xac\x97\r\xed\xb3\xb8C"


def _refused(topic):
    try:
        topics.parse(topic)
    except WrongTopic as error:
        return error.reason == "wrong_topic"
    return False


def test_a_topic_carries_shard_meter_and_way():
    assert topics.up(METER) == "m/01/90ac970dedb3b843/up"
    assert topics.down(METER) == "m/01/90ac970dedb3b843/down"
    assert topics.gone(METER) == "m/01/90ac970dedb3b843/gone"


def test_a_topic_comes_back_as_it_was_made():
    for way in ("up", "down", "gone"):
        topic = topics.parse(getattr(topics, way)(METER))
        assert topic == topics.Topic(METER, way)


def test_only_the_one_spelling_of_a_topic_is_taken():
    good = topics.up(METER)
    wrong = [
        "",
        "m",
        good + "/",
        good + "x",
        "/" + good,
        good.upper(),
        good.replace("up", "gone/up"),
    ]
    wrong += [
        good.replace("m/01", "m/02"),
        good.replace("b843", "b84g"),
        good.replace("b843", "b8"),
    ]
    wrong += [good.replace("up", "#"), "m/+/90ac970dedb3b843/up", good.replace("up", "upp")]
    for topic in wrong:
        assert _refused(topic), topic


def test_every_shard_is_two_hex_digits():
    shards = {topics.shard_of(bytes([n, 0, 0, 0, 0, 0, 0, n])) for n in range(64)}
    assert len(shards) > 32
    for shard in shards:
        assert len(shard) == 2 and 0 <= int(shard, 16) <= 255
