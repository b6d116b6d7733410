"""``task=NAME`` is a set of tasks."""

from mmbert.cli.options.task_word import with_task_sets


def test_only_the_word_itself_is_changed():
    words = ["task=mlm", "task@tasks.a=mlm", "+task@tasks.b=mlm", "tasks.mlm.share=0.2", "data=text"]
    assert with_task_sets(words) == ["tasks=mlm", *words[1:]]
