//! Examples and tables below the lists of options.

pub const SHORT: &str = "\
Examples:
  $ octoprompt-storage status
  $ octoprompt-storage import ~/src/app
  $ octoprompt-storage search listen 8080
  $ octoprompt-storage history src/main.ts

For more, see --help, and the --help of each command.";

pub const LONG: &str = "\
Examples:
  Show what there is under the working directory:
  $ octoprompt-storage status

  The same for another directory, in a script:
  $ octoprompt-storage --base-path /srv/app status --json | jq .files

  Store a directory, work on it, store what changed as new versions, and look at the changes:
  $ octoprompt-storage import ~/src/app
  $ octoprompt-storage import ~/src/app
  $ octoprompt-storage history src/main.ts

  Keep ten backups:
  $ octoprompt-storage backup --keep 10

All commands may run while a server has the data open; only repair and restore need it for themselves.

Exit codes:
  0  done
  1  failed: the message says why
  2  the command line is invalid or ambiguous
  3  done, but there are problems: verify found some, a repair lost something or left some, files were not exported, or
     old backups were not removed
  4  not found: no such data, project, file or backup
  5  other processes are in the way: try again, or raise --lock-timeout
  6  refused: --yes or --force is needed

Environment:
  OCTOPROMPT_STORAGE_PATH  the base path if --base-path is not given
  NO_COLOR                 no colours, unless --color always";

pub const STATUS: &str = "\
Examples:
  $ octoprompt-storage status
  $ octoprompt-storage status --json | jq .projects";

pub const STATS: &str = "\
Examples:
  $ octoprompt-storage stats
  $ octoprompt-storage stats --json | jq '.databases[].journal'

Each process counts its own cache hits and write amplification: for those of a server, see its own stats(). Here \
--json has those of this command.";

pub const PROJECTS: &str = "\
Examples:
  $ octoprompt-storage projects
  $ octoprompt-storage projects --json | jq -r '.[].path'";

pub const FILES: &str = "\
Examples:
  $ octoprompt-storage files 'Web server'
  $ octoprompt-storage files /srv/web --json | jq -r .path
  $ octoprompt-storage files 1795495378037 --all-versions";

pub const SHOW: &str = "\
Examples:
  $ octoprompt-storage show 1795495378038
  $ octoprompt-storage show src/main.ts --project 'Web server' --version 2
  $ octoprompt-storage show src/main.ts --content > main.ts";

pub const HISTORY: &str = "\
Examples:
  $ octoprompt-storage history src/main.ts
  $ octoprompt-storage history 1795495378038 --from 2 --to 7
  $ octoprompt-storage history src/main.ts --no-diff
  $ octoprompt-storage history src/main.ts --from 2 --to 7 --json | jq -j '.[].diff' | git apply";

pub const SEARCH: &str = "\
Examples:
  $ octoprompt-storage search listen 8080
  $ octoprompt-storage search 'export const port' --project 'Web server'
  $ octoprompt-storage search TODO --json | jq -r .path";

pub const IMPORT: &str = "\
Examples:
  $ octoprompt-storage import ~/src/app
  $ octoprompt-storage import ~/src/app --dry-run
  $ octoprompt-storage import . --name 'Web server' --prune

Stores what git would list: .gitignore is respected and symbolic links are not followed. Binary and large files are \
skipped and named. Unchanged files are left as they are. An import may be repeated and interrupted at any time: what \
was stored stays stored.";

pub const EXPORT: &str = "\
Examples:
  $ octoprompt-storage export 'Web server' /tmp/web
  $ octoprompt-storage export /srv/web /srv/web --force

Nothing is written outside the directory: a stored path that leads out of it, through a symbolic link, into a .git or \
into the storage itself is named and left out. If a file with other content is in the way, nothing at all is written, \
unless --force is given.";

pub const VERIFY: &str = "\
Examples:
  $ octoprompt-storage verify
  $ octoprompt-storage verify --json | jq '.databases[].problems'
  $ octoprompt-storage verify --backup before-upgrade

Exits with 3 if anything is wrong.";

pub const REPAIR: &str = "\
Examples:
  $ octoprompt-storage repair
  $ octoprompt-storage repair --yes

Every process that has the data open must close it first. The originals of what is changed are copied to \
.storage/before-repair-<time>. Exits with 3 if something was lost, or could not be repaired.";

pub const CHECKPOINT: &str = "\
Examples:
  $ octoprompt-storage checkpoint && less data/project_storage/projects.json";

pub const BACKUP: &str = "\
Examples:
  $ octoprompt-storage backup
  $ octoprompt-storage backup before-upgrade --include config.json
  $ octoprompt-storage backup --keep 10";

pub const BACKUPS: &str = "\
Examples:
  $ octoprompt-storage backups
  $ octoprompt-storage backups --json | jq -r '.[-1].name'";

pub const RESTORE: &str = "\
Examples:
  $ octoprompt-storage restore before-upgrade
  $ octoprompt-storage restore /mnt/copies/before-upgrade --yes

Every process that has the data open must close it first. A restore is atomic: after a crash it has happened or not.";

pub const MIGRATE: &str = "\
Examples:
  $ octoprompt-storage migrate --file migrations.mjs --status
  $ octoprompt-storage migrate --file migrations.mjs
  $ octoprompt-storage migrate --file migrations.mjs --rollback 1.2.0

The module, for the Node or Bun that runs the command:
  export default [
    { version: '1.0.0', description: 'Trim names', async up({ basePath }) { … }, async down({ basePath }) { … } },
  ]";

pub const COMPLETIONS: &str = "\
Examples:
  $ octoprompt-storage completions bash > ~/.local/share/bash-completion/completions/octoprompt-storage
  $ octoprompt-storage completions fish > ~/.config/fish/completions/octoprompt-storage.fish
  $ octoprompt-storage completions zsh > \"${fpath[1]}/_octoprompt-storage\"";
