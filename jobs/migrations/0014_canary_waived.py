"""That a canary completed, and that somebody let the rest go without it, are two things.

A run that was resumed after its canary had died said that the canary had completed. Of runs that were resumed before this
it cannot be told any more.
"""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_room_for_two_updates")]

    operations = [
        migrations.AddField(
            model_name="deadletterrun",
            name="canary_waived",
            field=models.BooleanField(
                db_default=False,
                help_text=(
                    "The run halted before the canary completed, and an operator let the rest go all the same."
                ),
            ),
        ),
        migrations.AlterField(
            model_name="deadletterrun",
            name="canary_passed",
            field=models.BooleanField(default=False, help_text="The canary completed."),
        ),
    ]
