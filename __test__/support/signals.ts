/** Returns a signal, and `heard`: `on` for each listener that is added to it and `off` for each that is removed. */
export function watchedSignal() {
  const { signal } = new AbortController()
  const heard: string[] = []
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (...args: any) => (heard.push('on'), Reflect.apply(addEventListener, signal, args))
  signal.removeEventListener = (...args: any) => (heard.push('off'), Reflect.apply(removeEventListener, signal, args))
  return { signal, heard }
}
