// Package moltworker brings the state of a moltworker installation into a fresh
// home of OpenClaw.
//
// moltworker has kept its state in an S3-compatible bucket in four ways, one
// after the other, and none of them read what the one before had left:
//
//	flat      clawdbot.json at the root
//	clawdbot  clawdbot/, skills/, copied by s3fs and rsync
//	rclone    openclaw/, workspace/, skills/, copied by rclone
//	snapshot  backups/<id>/data.sqsh, an image of /home/openclaw, and
//	          backup-handle.json, which names the present one
//
// What it promises: nothing in the bucket is changed, only listed and read. The
// home is absent or without files before (else *restore.NotEmptyError), and holds
// either nothing or all of the import: it is written beside and put in place by a
// rename. Absolute paths of moltworker's container in openclaw.json, and in
// symbolic links, become those of the new home. What cannot be brought along is
// reported.
//
// A bucket with several layouts is refused until one is named: which of them
// holds the memories, only its owner knows.
//
// What it leaves: keys of openclaw.json that a newer OpenClaw refuses (its own
// doctor knows them, and changes them), the gateway's token (creel keeps it), and
// paths in files other than openclaw.json, which OpenClaw finds by itself.
package moltworker
