// A progress bar: one line that is redrawn on a terminal, a line at every tenth elsewhere.

const width = 32

export class Progress {
  #name
  #total
  #live = process.stdout.isTTY ?? false
  #start = performance.now()
  #drawn = -Infinity
  #tenth = 0

  constructor(name, total) {
    this.#name = name
    this.#total = total
  }

  show(done) {
    const part = this.#total === 0 ? 1 : done / this.#total
    const percent = `${Math.floor(part * 100)} %`.padStart(5)
    const count = `${done.toLocaleString('en')} of ${this.#total.toLocaleString('en')}`
    if (this.#live) {
      const now = performance.now()
      if (now - this.#drawn < 40 && part < 1) return
      this.#drawn = now
      const full = Math.round(part * width)
      process.stdout.write(`\r\x1b[K  ${this.#name} ${'█'.repeat(full)}${'░'.repeat(width - full)}${percent}  ${count}`)
    } else if (Math.floor(part * 10) > this.#tenth) {
      this.#tenth = Math.floor(part * 10)
      console.log(`  ${this.#name} ${percent}  ${count}`)
    }
  }

  /** Removes the bar and returns the milliseconds since it was created. */
  end() {
    if (this.#live) process.stdout.write('\r\x1b[K')
    return performance.now() - this.#start
  }
}
