# Completes cw in bash: each word is asked of the very cw that is being typed.
_cw() {
    local answer
    COMPREPLY=()
    answer=$("${1/#\~\//$HOME/}" completion --words bash "$2" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
    case $? in
        0) [[ -z $answer ]] || mapfile -t COMPREPLY <<<"$answer" ;;
        10) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
        11) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
    esac
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -F _cw cw
