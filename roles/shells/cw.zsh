#compdef cw
# Completes cw in zsh: each word is asked of the very cw that is being typed.
_cw() {
    local answer line tab=$'\t'
    local -a names shown space
    answer=$("${${(Q)words[1]}/#\~\//$HOME/}" completion --words zsh "${(@Q)words[2,CURRENT-1]}" "$PREFIX" \
        2>/dev/null </dev/null)
    case $? in
        0) for line in "${(@f)answer}"; do
               [[ -n $line ]] || continue
               names+=("${line%%$tab*}")
               shown+=("${line/$tab/  -- }")
           done
           [[ ${names[1]-} != *= ]] || space=(-S '')
           compadd -l -d shown "${space[@]}" -- "${names[@]}" ;;
        10) compset -P '--*='; _files ;;
        11) compset -P '--*='; _files -/ ;;
    esac
}
if [[ ${funcstack[1]-} == _cw ]]; then _cw "$@"; else compdef _cw cw; fi
