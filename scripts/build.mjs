// `npm run build`: builds the addon that servers load, with `binding.js` and `binding.d.ts`, and that of the command line.
// Arguments go to `napi build`: `npm run build -- --target aarch64-unknown-linux-musl`.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup.mjs'

const napi = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js')

function build(crate, ...options) {
  const manifest = join(crate, 'Cargo.toml')
  const args = [napi, 'build', '--manifest-path', manifest, '--output-dir', '.', '--platform', ...options, ...process.argv.slice(2)]
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

build('src/node', '--js', 'binding.js', '--dts', 'binding.d.ts')
// No JavaScript is generated for the second addon: `lib/native-command-line.js` loads it.
build('src/cli/addon', '--no-js', '--config-path', 'src/cli/addon/napi.json')
